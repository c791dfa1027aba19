// SPDX-License-Identifier: Apache-2.0
// The innermost loop of scattering with int8 weights in plain C.
#ifndef SPK_RUN_INT_GENERIC_H_
#define SPK_RUN_INT_GENERIC_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_kernel.h"

//@ template NUM  TYPE
//@          i16  int16_t
//@          i32  int32_t
// The functions for sums of `type`:
//
// run_add: out[i] += value * weight[i] for i in [0, length).
//
// run_add_rows: the same for `rows` rows, whose first sums are `out_step` apart and whose first
// weights are `weight_step` apart. `outputs` is how many weights stand together in the table, which
// says whether they are in fours; it divides `length`.
//
// run_add_many: the same for `many` weights of each, which count 1.
//
// run_zero: out[i] = 0 for i in [0, length).
SPK_KERNEL void spk_run_add_NUM(TYPE *restrict out, const int8_t *restrict weight, size_t length,
                                int32_t value) {
  SPK_UNROLL
  for (size_t i = 0; i < length; i++) out[i] = (TYPE)(out[i] + value * weight[i]);
}
SPK_KERNEL void spk_run_add_rows_NUM(TYPE *restrict out, size_t out_step,
                                     const int8_t *restrict weight, size_t weight_step,
                                     size_t length, uint32_t rows, uint32_t outputs,
                                     int32_t value) {
  (void)outputs; /* all weights are in natural order */
  for (; rows != 0; rows--, out += out_step, weight += weight_step) {
    spk_run_add_NUM(out, weight, length, value);
  }
}
SPK_KERNEL void spk_run_add_many_NUM(TYPE *out, size_t out_step, const int8_t *const *weights,
                                     uint32_t many, size_t weight_step, size_t length,
                                     uint32_t rows, uint32_t outputs) {
  for (uint32_t i = 0; i < many; i++) {
    spk_run_add_rows_NUM(out, out_step, weights[i], weight_step, length, rows, outputs, 1);
  }
}
SPK_KERNEL void spk_run_zero_NUM(TYPE *restrict out, size_t length) {
  memset(out, 0, length * sizeof(TYPE));
}
//@ end

#endif  // SPK_RUN_INT_GENERIC_H_
