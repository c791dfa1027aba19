// SPDX-License-Identifier: Apache-2.0
// How the inputs of a convolution meet its outputs.
#ifndef SPK_SPAN_H_
#define SPK_SPAN_H_

#include <stdint.h>

// What one input row (or column) reaches: `taps` outputs from `out` on, through the kernel taps
// from `tap` on in tap order.
typedef struct spk_span {
  uint16_t out;
  uint16_t tap;
  uint16_t taps;
} spk_span;

#endif  // SPK_SPAN_H_
