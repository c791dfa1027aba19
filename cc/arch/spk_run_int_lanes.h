// SPDX-License-Identifier: Apache-2.0
// The innermost loop of scattering with int8 weights in vectors.
#ifndef SPK_RUN_INT_LANES_H_
#define SPK_RUN_INT_LANES_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_kernel.h"
#include "spk_lanes.h"

// Adds as many vectors of `width` lanes as are left, of value * weight or of several weights.
#define SPK_RUN_VECTORS_(type, lanes, widen, width)         \
  for (; i + (width) <= length; i += (width)) {             \
    *(lanes *)(out + i) += (type)value * widen(weight + i); \
  }
#define SPK_RUN_MANY_VECTORS_(type, lanes, widen, width) \
  for (; i + (width) <= length; i += (width)) {          \
    lanes sum = widen(a + i);                            \
    if (many > 1) sum += widen(b + i);                   \
    if (many > 2) sum += widen(c + i);                   \
    if (many > 3) sum += widen(d + i);                   \
    *(lanes *)(out + i) += sum;                          \
  }

#define SPK_RUN_SUM_(i) \
  (a[i] + (many > 1 ? b[i] : 0) + (many > 2 ? c[i] : 0) + (many > 3 ? d[i] : 0))

// All vectors of this CPU that are wider than 128 bits, the widest first.
//@ only x86-64-v4
#define SPK_RUN_WIDE_I16_(ADD) \
  ADD(int16_t, spk_i16x32, spk_widen_i16x32, 32) ADD(int16_t, spk_i16x16, spk_widen_i16x16, 16)
//@ only x86-64-v4
#define SPK_RUN_WIDE_I32_(ADD) \
  ADD(int32_t, spk_i32x16, spk_widen_i32x16, 16) ADD(int32_t, spk_i32x8, spk_widen_i32x8, 8)
//@ only x86-64-v3
#define SPK_RUN_WIDE_I16_(ADD) ADD(int16_t, spk_i16x16, spk_widen_i16x16, 16)
//@ only x86-64-v3
#define SPK_RUN_WIDE_I32_(ADD) ADD(int32_t, spk_i32x8, spk_widen_i32x8, 8)
//@ only x86-64 aarch64
#define SPK_RUN_WIDE_I16_(ADD)
//@ only x86-64 aarch64
#define SPK_RUN_WIDE_I32_(ADD)

// out[i] += value * weight[i] for i in [0, length).
SPK_KERNEL void spk_run_add_i16(int16_t *restrict out, const int8_t *restrict weight, size_t length,
                                int32_t value) {
  size_t i = 0;
  SPK_UNROLL
  SPK_RUN_WIDE_I16_(SPK_RUN_VECTORS_)
  SPK_RUN_VECTORS_(int16_t, spk_i16x8, spk_widen_i16x8, 8)
  SPK_RUN_VECTORS_(int16_t, spk_i16x4, spk_widen_i16x4, 4)
  for (size_t rest = length % 4; rest != 0; rest--, i++)
    out[i] = (int16_t)(out[i] + value * weight[i]);
}
SPK_KERNEL void spk_run_add_i32(int32_t *restrict out, const int8_t *restrict weight, size_t length,
                                int32_t value) {
  size_t i = 0;
  SPK_UNROLL
  SPK_RUN_WIDE_I32_(SPK_RUN_VECTORS_)
  SPK_RUN_VECTORS_(int32_t, spk_i32x4, spk_widen_i32x4, 4)
  for (size_t rest = length % 4; rest != 0; rest--, i++) out[i] += value * weight[i];
}

// out[i] += the sum of the first `many` of a[i], b[i], c[i] and d[i], for i in [0, length).
SPK_KERNEL void spk_run_add_sum_i16(int16_t *restrict out, const int8_t *a, const int8_t *b,
                                    const int8_t *c, const int8_t *d, uint32_t many,
                                    size_t length) {
  size_t i = 0;
  SPK_UNROLL
  SPK_RUN_WIDE_I16_(SPK_RUN_MANY_VECTORS_)
  SPK_RUN_MANY_VECTORS_(int16_t, spk_i16x8, spk_widen_i16x8, 8)
  SPK_RUN_MANY_VECTORS_(int16_t, spk_i16x4, spk_widen_i16x4, 4)
  for (size_t rest = length % 4; rest != 0; rest--, i++)
    out[i] = (int16_t)(out[i] + SPK_RUN_SUM_(i));
}
SPK_KERNEL void spk_run_add_sum_i32(int32_t *restrict out, const int8_t *a, const int8_t *b,
                                    const int8_t *c, const int8_t *d, uint32_t many,
                                    size_t length) {
  size_t i = 0;
  SPK_UNROLL
  SPK_RUN_WIDE_I32_(SPK_RUN_MANY_VECTORS_)
  SPK_RUN_MANY_VECTORS_(int32_t, spk_i32x4, spk_widen_i32x4, 4)
  for (size_t rest = length % 4; rest != 0; rest--, i++) out[i] += SPK_RUN_SUM_(i);
}

//@ template NUM  TYPE
//@          i16  int16_t
//@          i32  int32_t
// run_add_rows: the same for `rows` rows, whose first sums are `out_step` apart and whose first
// weights are `weight_step` apart. `outputs` is how many weights stand together in the table, which
// says whether they are in fours; it divides `length`.
//
// run_add_many: the same for `many` weights of each, which count 1.
//
// run_zero: out[i] = 0 for i in [0, length).
SPK_KERNEL void spk_run_add_rows_NUM(TYPE *restrict out, size_t out_step,
                                     const int8_t *restrict weight, size_t weight_step,
                                     size_t length, uint32_t rows, uint32_t outputs,
                                     int32_t value) {
  (void)outputs; /* all weights are in natural order */
  for (; rows != 0; rows--, out += out_step, weight += weight_step) {
    spk_run_add_NUM(out, weight, length, value);
  }
}
SPK_KERNEL void spk_run_add_many_NUM(TYPE *restrict out, size_t out_step,
                                     const int8_t *const *weights, uint32_t many,
                                     size_t weight_step, size_t length, uint32_t rows,
                                     uint32_t outputs) {
  (void)outputs;
  /* Of their own, not in memory that a store to `out` may seem to change. */
  const int8_t *a = weights[0], *b = many > 1 ? weights[1] : a;
  const int8_t *c = many > 2 ? weights[2] : a, *d = many > 3 ? weights[3] : a;
  for (; rows != 0; rows--) {
    spk_run_add_sum_NUM(out, a, b, c, d, many, length);
    out += out_step;
    a += weight_step, b += weight_step, c += weight_step, d += weight_step;
  }
}
SPK_KERNEL void spk_run_zero_NUM(TYPE *restrict out, size_t length) {
  memset(out, 0, length * sizeof(TYPE));
}
//@ end

#endif  // SPK_RUN_INT_LANES_H_
