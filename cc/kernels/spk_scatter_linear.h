// SPDX-License-Identifier: Apache-2.0
// Event-driven fully connected layer: every active input adds one contiguous row of weights. In
// float32, where sums start from a bias; and with int8 weights and sums in int16 or int32, which
// must be known to fit and start at 0. On a Cortex-M7 integer sums start a word.
#ifndef SPK_SCATTER_LINEAR_H_
#define SPK_SCATTER_LINEAR_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_opaque.h"
#include "spk_spikes.h"

//@ template NUM  VALUE    WEIGHT  SUM
//@          f32  float    float   float
//@          i16  int32_t  int8_t  int16_t
//@          i32  int32_t  int8_t  int32_t
typedef struct spk_scatter_linear_NUM {
  const WEIGHT *weight;  // [inputs][outputs]
  const SUM *bias;       // [outputs], where sums start  //@ only f32
  uint32_t inputs;
  uint32_t outputs;
} spk_scatter_linear_NUM;

// out = where sums start.
SPK_KERNEL void spk_scatter_linear_start_NUM(const spk_scatter_linear_NUM *linear,
                                             SUM *restrict out) {
  spk_run_repeat_f32(out, spk_opaque_f32(linear->bias), linear->outputs, 1);  //@ only f32
  spk_run_zero_NUM(out, linear->outputs);                                     //@ only i16 i32
}

// Adds what one input (memory position `index`, not zero) contributes to `out`.
SPK_KERNEL void spk_scatter_linear_add_NUM(const spk_scatter_linear_NUM *linear, uint32_t index,
                                           VALUE value, SUM *restrict out) {
  spk_run_add_NUM(out, linear->weight + (size_t)index * linear->outputs, linear->outputs, value);
}

// out = start + sum of value * weight over a checked list of active inputs, in list order.
SPK_KERNEL void spk_scatter_linear_active_NUM(const spk_scatter_linear_NUM *linear,
                                              const spk_active *active, size_t count,
                                              SUM *restrict out) {
  spk_scatter_linear_start_NUM(linear, out);
  for (size_t i = 0; i < count; i++) {
    spk_scatter_linear_add_NUM(linear, active[i].index, (VALUE)active[i].value, out);
  }
}

// out = start + sum of weight over a list of spikes, in list order.
SPK_KERNEL void spk_scatter_linear_spikes_NUM(const spk_scatter_linear_NUM *linear,
                                              const spk_index *spikes, size_t count,
                                              SUM *restrict out) {
  spk_scatter_linear_start_NUM(linear, out);
  for (size_t i = 0; i < count; i++) spk_scatter_linear_add_NUM(linear, spikes[i], 1, out);
}

//@ end

//@ template NUM  READ   IN       VALUE    SUM
//@          f32  dense  float    float    float
//@          i16  dense  int16_t  int32_t  int16_t
//@          i16  frame  float    int32_t  int16_t
//@          i32  dense  int16_t  int32_t  int32_t
//@          i32  frame  float    int32_t  int32_t
// Of each kind of dense input: out = start + sum of value * weight over the values that are not
// zero.
SPK_KERNEL void spk_scatter_linear_READ_NUM(const spk_scatter_linear_NUM *linear,
                                            const IN *restrict in, SUM *restrict out) {
  spk_scatter_linear_start_NUM(linear, out);
  spk_scatter_linear_NUM hidden = *linear;
  hidden.weight = spk_opaque_f32(linear->weight);  //@ only f32
  for (uint32_t i = 0; i < linear->inputs; i++) {
    if (in[i] != 0) spk_scatter_linear_add_NUM(&hidden, i, (VALUE)in[i], out);
  }
}
//@ end

#endif  // SPK_SCATTER_LINEAR_H_
