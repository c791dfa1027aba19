// SPDX-License-Identifier: Apache-2.0
// One leaky integrate-and-fire neuron in float32: its parameters and its equation.
#ifndef SPK_LEAKY_NEURON_F32_H_
#define SPK_LEAKY_NEURON_F32_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spk_kernel.h"
#include "spk_reset.h"

// A parameter of the neurons: the value for channel c at position p stands at
// values[p * per_position + c * per_channel]. Both strides are 0 for one value for all.
typedef struct spk_param_f32 {
  const float *values;
  uint32_t per_position;
  uint32_t per_channel;
} spk_param_f32;

typedef struct spk_leaky_f32 {
  spk_param_f32 beta;  // decay of the membrane in one time step, 0 to 1
  spk_param_f32 threshold;
  uint32_t height;  // of the layer's own map; 1 for a fully connected layer
  uint32_t width;
  uint32_t channels;
  uint32_t pool_height;  // max pooling window = its stride; 1 where there is none
  uint32_t pool_width;
  uint32_t in_width;  // of the map that is pooled
  spk_reset reset;
  bool reset_delay;  // true: a spike resets the membrane one step later, snnTorch's default
} spk_leaky_f32;

// One neuron, one time step: returns the new membrane and whether it spiked.
//
//   r[t]   = mem[t-1] > thr
//   mem[t] = beta * mem[t-1] + I[t] - r[t] * thr            subtract
//          = beta * (1 - r[t]) * mem[t-1] + I[t]            zero
//          = beta * mem[t-1] + I[t]                         none
//   spk[t] = mem[t] > thr
//
// and without reset delay, where d = spk[t] - r[t] is 1, 0 or -1, the membrane that is kept is
// mem[t] - d * thr (subtract) or mem[t] - d * mem[t] (zero).
SPK_KERNEL float spk_leaky_update_f32(float membrane, float current, float beta, float threshold,
                                      spk_reset reset, bool reset_delay, bool *spiked) {
  const bool above = membrane > threshold;
  float next;
  if (reset == SPK_RESET_SUBTRACT) {
    next = beta * membrane + current;
    next -= spk_where_f32(above, threshold);
  } else if (reset == SPK_RESET_ZERO) {
    next = beta * (above ? 0.0f : membrane) + current;
  } else {
    next = beta * membrane + current;
  }
  const bool spike = next > threshold;
  *spiked = spike;
  if (!reset_delay && reset != SPK_RESET_NONE) {
    const float undo = (float)spike - (float)above;
    next -= undo * (reset == SPK_RESET_SUBTRACT ? threshold : next);
  }
  return next;
}

// The largest current in the pooling window whose first value is `current[0]`.
SPK_KERNEL float spk_leaky_pooled_f32(const spk_leaky_f32 *leaky, const float *restrict current) {
  float largest = current[0];
  for (uint32_t y = 0; y < leaky->pool_height; y++) {
    for (uint32_t x = 0; x < leaky->pool_width; x++) {
      const float value = current[((size_t)y * leaky->in_width + x) * leaky->channels];
      largest = value > largest ? value : largest;
    }
  }
  return largest;
}

#endif  // SPK_LEAKY_NEURON_F32_H_
