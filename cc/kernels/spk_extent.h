// SPDX-License-Identifier: Apache-2.0
// How the inputs of a pooling meet its outputs.
#ifndef SPK_EXTENT_H_
#define SPK_EXTENT_H_

#include <stdint.h>

// The part of one pooling window that lies inside the input: `taps` rows (or columns) from `first`.
typedef struct spk_extent {
  uint16_t first;
  uint16_t taps;
} spk_extent;

#endif  // SPK_EXTENT_H_
