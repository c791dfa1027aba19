// SPDX-License-Identifier: Apache-2.0
// The innermost loop of scattering in vectors.
#ifndef SPK_RUN_F32_LANES_H_
#define SPK_RUN_F32_LANES_H_

#include <stddef.h>

#include "spk_kernel.h"
#include "spk_lanes.h"

// out[i] += value * weight[i] for i in [0, length), each product and each sum rounded.
SPK_KERNEL void spk_run_add_f32(float *restrict out, const float *restrict weight, size_t length,
                                float value) {
  size_t i = 0;
  SPK_UNROLL
  for (; i + SPK_LANES <= length; i += SPK_LANES) {
    *(spk_lanes *)(out + i) += value * *(const spk_lanes *)(weight + i);
  }
  for (; i + 8 <= length; i += 8) {
    *(spk_f32x8 *)(out + i) += value * *(const spk_f32x8 *)(weight + i);
  }
  for (; i + 4 <= length; i += 4) {
    *(spk_f32x4 *)(out + i) += value * *(const spk_f32x4 *)(weight + i);
  }
  for (size_t rest = length % 4; rest != 0; rest--, i++) out[i] += value * weight[i];
}

// out[i * length + c] = row[c] for i in [0, times) and c in [0, length).
SPK_KERNEL void spk_run_repeat_f32(float *restrict out, const float *restrict row, size_t length,
                                   size_t times) {
  // Once as many rows are there as fill whole vectors, vectors follow that repeat them.
  const size_t few = times < SPK_LANES ? times : SPK_LANES;
  for (size_t i = 0; i < few * length; i += length) {
    for (size_t c = 0; c < length; c++) out[i + c] = row[c];
  }
  float *const rest = out + few * length;
  const size_t missing = (times - few) * length;
  const size_t whole = missing / SPK_LANES * SPK_LANES;
  for (size_t i = 0; i < whole; i += SPK_LANES) {
    *(spk_lanes *)(rest + i) = *(const spk_lanes *)(out + i);
  }
  for (size_t i = whole; i < missing; i++) rest[i] = out[i];
}

#endif  // SPK_RUN_F32_LANES_H_
