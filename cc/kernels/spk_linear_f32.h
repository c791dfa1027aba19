// SPDX-License-Identifier: Apache-2.0
// Event-driven fully connected layer in float32: every active input adds one contiguous row.
#ifndef SPK_LINEAR_F32_H_
#define SPK_LINEAR_F32_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_run_f32.h"
#include "spk_spikes.h"

typedef struct spk_linear_f32 {
  const float *weight;  // [inputs][outputs]
  const float *bias;    // [outputs]
  uint32_t inputs;
  uint32_t outputs;
} spk_linear_f32;

// Adds what one input (memory position `index`, not zero) contributes to `out`.
SPK_KERNEL void spk_linear_spread_f32(const spk_linear_f32 *linear, uint32_t index, float value,
                                      float *restrict out) {
  spk_run_add_f32(out, linear->weight + (size_t)index * linear->outputs, linear->outputs, value);
}

// out = bias + sum of value * weight over a checked list of active inputs, in list order.
SPK_KERNEL void spk_linear_active_f32(const spk_linear_f32 *linear, const spk_active *active,
                                      size_t count, float *restrict out) {
  memcpy(out, spk_opaque_f32(linear->bias), linear->outputs * sizeof(float));
  for (size_t i = 0; i < count; i++) {
    spk_linear_spread_f32(linear, active[i].index, active[i].value, out);
  }
}

// out = bias + sum of weight over a list of spikes, in list order.
SPK_KERNEL void spk_linear_spikes_f32(const spk_linear_f32 *linear, const spk_index *spikes,
                                      size_t count, float *restrict out) {
  memcpy(out, spk_opaque_f32(linear->bias), linear->outputs * sizeof(float));
  for (size_t i = 0; i < count; i++) spk_linear_spread_f32(linear, spikes[i], 1.0f, out);
}

// out = bias + sum of value * weight over the values of a dense input that are not zero.
SPK_KERNEL void spk_linear_dense_f32(const spk_linear_f32 *linear, const float *restrict in,
                                     float *restrict out) {
  memcpy(out, spk_opaque_f32(linear->bias), linear->outputs * sizeof(float));
  spk_linear_f32 hidden = *linear;
  hidden.weight = spk_opaque_f32(linear->weight);
  for (uint32_t i = 0; i < linear->inputs; i++) {
    if (in[i] != 0.0f) spk_linear_spread_f32(&hidden, i, in[i], out);
  }
}

#endif  // SPK_LINEAR_F32_H_
