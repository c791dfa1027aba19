// SPDX-License-Identifier: Apache-2.0
// The innermost loop in plain C, which compilers vectorise.
#ifndef SPK_RUN_F32_GENERIC_H_
#define SPK_RUN_F32_GENERIC_H_

#include <stddef.h>
#include <string.h>

#include "spk_kernel.h"

// out[i] += value * weight[i] for i in [0, length), each product and each sum rounded.
SPK_KERNEL void spk_run_add_f32(float *restrict out, const float *restrict weight, size_t length,
                                float value) {
  SPK_UNROLL
  for (size_t i = 0; i < length; i++) out[i] += value * weight[i];
}

// out[i * length + c] = row[c] for i in [0, times) and c in [0, length).
SPK_KERNEL void spk_run_repeat_f32(float *restrict out, const float *restrict row, size_t length,
                                   size_t times) {
  for (size_t i = 0; i < times; i++) memcpy(out + i * length, row, length * sizeof(float));
}

#endif  // SPK_RUN_F32_GENERIC_H_
