// SPDX-License-Identifier: Apache-2.0
// The innermost loop of dense layers in GNU C's vectors: plain loops over so few channels compilers
// vectorise across values instead, with many permutations. Same bits.
#ifndef SPK_DOT_F32_VECTORS_H_
#define SPK_DOT_F32_VECTORS_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_kernel.h"
#include "spk_patch.h"

enum { SPK_DOT_POSITIONS = 4 };  // outputs summed side by side

typedef float spk_float2 __attribute__((vector_size(8)));
typedef float spk_float4 __attribute__((vector_size(16)));
typedef float spk_float8 __attribute__((vector_size(32)));

//@ template NAME           TYPE        CHANNELS
//@          spk_dot_1_f32  float       1
//@          spk_dot_2_f32  spk_float2  2
//@          spk_dot_4_f32  spk_float4  4
//@          spk_dot_8_f32  spk_float8  8
// spk_dot_f32 for blocks of `channels` channels, which are one `type`.
SPK_KERNEL void NAME(const spk_patch *patch, float *restrict out, size_t out_step,
                     const float *restrict in, size_t in_step, const float *restrict weight,
                     uint32_t positions) {
  TYPE sums[SPK_DOT_POSITIONS];
  for (uint32_t p = 0; p < positions; p++) {
    __builtin_memcpy(&sums[p], out + p * out_step, sizeof(TYPE));
  }
  for (uint32_t r = 0; r < patch->rows; r++) {
    const float *values = in + r * patch->in_step;
    const float *weights = weight + r * patch->weight_step;
    for (uint32_t i = 0; i < patch->length; i++) {
      TYPE row;
      __builtin_memcpy(&row, weights + (size_t)i * (CHANNELS), sizeof(TYPE));
      for (uint32_t p = 0; p < positions; p++) sums[p] += values[p * in_step + i] * row;
    }
  }
  for (uint32_t p = 0; p < positions; p++) {
    __builtin_memcpy(out + p * out_step, &sums[p], sizeof(TYPE));
  }
}
//@ end

// For every p in [0, positions) and c in [0, channels), with rows r and values i rising,
//   out[p * out_step + c] += in[p * in_step + r * patch->in_step + i]
//                            * weight[r * patch->weight_step + i * channels + c]
// each product and each sum rounded. `positions` is a power of two up to SPK_DOT_POSITIONS,
// `channels` one up to SPK_DOT_CHANNELS; both are constants.
SPK_KERNEL void spk_dot_f32(const spk_patch *patch, float *restrict out, size_t out_step,
                            const float *restrict in, size_t in_step, const float *restrict weight,
                            uint32_t positions, uint32_t channels) {
  switch (channels) {
    case 1:
      spk_dot_1_f32(patch, out, out_step, in, in_step, weight, positions);
      break;
    case 2:
      spk_dot_2_f32(patch, out, out_step, in, in_step, weight, positions);
      break;
    case 4:
      spk_dot_4_f32(patch, out, out_step, in, in_step, weight, positions);
      break;
    default:
      spk_dot_8_f32(patch, out, out_step, in, in_step, weight, positions);
      break;
  }
}

#endif  // SPK_DOT_F32_VECTORS_H_
