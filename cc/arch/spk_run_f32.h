// SPDX-License-Identifier: Apache-2.0
// Scattering in float32: one active input adds runs of weights to neighbouring outputs. The run
// itself, spk_run_add_f32, is in a file of its own for each kind of CPU.
#ifndef SPK_RUN_F32_H_
#define SPK_RUN_F32_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_kernel.h"

// spk_run_add_f32 for `rows` rows, whose first outputs are `out_step` apart and whose first weights
// are `weight_step` apart.
SPK_KERNEL void spk_run_add_rows_f32(float *restrict out, size_t out_step,
                                     const float *restrict weight, size_t weight_step,
                                     size_t length, uint32_t rows, uint32_t outputs, float value) {
  (void)outputs;  // integers ask for it
  for (; rows != 0; rows--, out += out_step, weight += weight_step) {
    spk_run_add_f32(out, weight, length, value);
  }
}

// The same for `many` rows of weights, one after the other, that count 1.
SPK_KERNEL void spk_run_add_many_f32(float *restrict out, size_t out_step,
                                     const float *const *weights, uint32_t many, size_t weight_step,
                                     size_t length, uint32_t rows, uint32_t outputs) {
  for (uint32_t i = 0; i < many; i++) {
    spk_run_add_rows_f32(out, out_step, weights[i], weight_step, length, rows, outputs, 1.0f);
  }
}

#endif  // SPK_RUN_F32_H_
