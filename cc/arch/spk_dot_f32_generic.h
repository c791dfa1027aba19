// SPDX-License-Identifier: Apache-2.0
// The innermost loop of dense layers in plain C.
#ifndef SPK_DOT_F32_GENERIC_H_
#define SPK_DOT_F32_GENERIC_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_kernel.h"
#include "spk_patch.h"

enum { SPK_DOT_POSITIONS = 4 };  // outputs summed side by side

// For every p in [0, positions) and c in [0, channels), with rows r and values i rising,
//   out[p * out_step + c] += in[p * in_step + r * patch->in_step + i]
//                            * weight[r * patch->weight_step + i * channels + c]
// each product and each sum rounded. `positions` is a power of two up to SPK_DOT_POSITIONS,
// `channels` one up to SPK_DOT_CHANNELS; both are constants.
SPK_KERNEL void spk_dot_f32(const spk_patch *patch, float *restrict out, size_t out_step,
                            const float *restrict in, size_t in_step, const float *restrict weight,
                            uint32_t positions, uint32_t channels) {
  for (uint32_t p = 0; p < positions; p++) {
    float sums[SPK_DOT_CHANNELS];
    for (uint32_t c = 0; c < channels; c++) sums[c] = out[p * out_step + c];
    for (uint32_t r = 0; r < patch->rows; r++) {
      const float *values = in + p * in_step + r * patch->in_step;
      const float *weights = weight + r * patch->weight_step;
      for (uint32_t i = 0; i < patch->length; i++, weights += channels) {
        for (uint32_t c = 0; c < channels; c++) sums[c] += values[i] * weights[c];
      }
    }
    for (uint32_t c = 0; c < channels; c++) out[p * out_step + c] = sums[c];
  }
}

#endif  // SPK_DOT_F32_GENERIC_H_
