// SPDX-License-Identifier: Apache-2.0
// The scale and shift of a batch norm that is not folded into a layer before it.
#ifndef SPK_AFFINE_H_
#define SPK_AFFINE_H_

#include <stdint.h>

#include "spk_opaque.h"

// values[p][c] = values[p][c] * scale[c] + shift[c], in place.
SPK_KERNEL void spk_affine_apply_f32(const float *restrict scale, const float *restrict shift,
                                     uint32_t channels, float *restrict values,
                                     uint32_t positions) {
  const float *restrict addend = spk_opaque_f32(shift);
  for (uint32_t p = 0; p < positions; p++, values += channels) {
    for (uint32_t c = 0; c < channels; c++) values[c] = values[c] * scale[c] + addend[c];
  }
}

#endif  // SPK_AFFINE_H_
