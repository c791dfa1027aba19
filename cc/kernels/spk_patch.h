// SPDX-License-Identifier: Apache-2.0
// What an output of a dense layer reads: rows of neighbouring values.
#ifndef SPK_PATCH_H_
#define SPK_PATCH_H_

#include <stddef.h>
#include <stdint.h>

// `rows` rows of `length` values; either may be 0. Steps are in floats.
typedef struct spk_patch {
  uint32_t rows;
  uint32_t length;
  size_t in_step;      // from a row's first value to the next row's
  size_t weight_step;  // the same for the weights
} spk_patch;

enum { SPK_DOT_CHANNELS = 8 };  // channels of a whole block; the last ones are of 4, 2 and 1

#endif  // SPK_PATCH_H_
