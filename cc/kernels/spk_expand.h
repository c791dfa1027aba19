// SPDX-License-Identifier: Apache-2.0
// From lists and frames to dense values: float32, and integers in int16.
#ifndef SPK_EXPAND_H_
#define SPK_EXPAND_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_spikes.h"

// out[0 .. length) = 0, then out[index] = value for every entry of a checked list.
SPK_KERNEL void spk_expand_active_f32(const spk_active *active, size_t count, float *restrict out,
                                      size_t length) {
  memset(out, 0, length * sizeof(float));
  for (size_t i = 0; i < count; i++) out[active[i].index] = active[i].value;
}

// out[0 .. length) = frame, where a zero has no sign, as it has none in a list.
SPK_KERNEL void spk_expand_frame_f32(const float *restrict frame, float *restrict out,
                                     size_t length) {
  for (size_t i = 0; i < length; i++) out[i] = frame[i] + 0.0f;
}

// out[0 .. length) = 0, then out[spike] = grades[spike * per_neuron] for every spike. `grades` is
// the size of a spike: one value (per_neuron 0) or one a neuron (per_neuron 1).
SPK_KERNEL void spk_expand_spikes_f32(const spk_index *spikes, uint32_t count, const float *grades,
                                      uint32_t per_neuron, float *restrict out, size_t length) {
  memset(out, 0, length * sizeof(float));
  for (uint32_t i = 0; i < count; i++) out[spikes[i]] = grades[(size_t)spikes[i] * per_neuron];
}

// out[0 .. length) = 0, then out[index] = value for every entry of a checked list of integers.
SPK_KERNEL void spk_expand_active_i16(const spk_active *active, size_t count, int16_t *restrict out,
                                      size_t length) {
  memset(out, 0, length * sizeof(int16_t));
  for (size_t i = 0; i < count; i++) out[active[i].index] = (int16_t)active[i].value;
}

// out[0 .. length) = frame, a checked one of integers.
SPK_KERNEL void spk_expand_frame_i16(const float *restrict frame, int16_t *restrict out,
                                     size_t length) {
  for (size_t i = 0; i < length; i++) out[i] = (int16_t)frame[i];
}

// out[0 .. length) = 0, then out[spike] = 1 for every spike.
SPK_KERNEL void spk_expand_spikes_i16(const spk_index *spikes, uint32_t count,
                                      int16_t *restrict out, size_t length) {
  memset(out, 0, length * sizeof(int16_t));
  for (uint32_t i = 0; i < count; i++) out[spikes[i]] = 1;
}

#endif  // SPK_EXPAND_H_
