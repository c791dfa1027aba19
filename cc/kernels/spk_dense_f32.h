// SPDX-License-Identifier: Apache-2.0
// From lists to dense float32 values, and the per-channel scale and shift of an unfolded batch
// norm.
#ifndef SPK_DENSE_F32_H_
#define SPK_DENSE_F32_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_spikes.h"

// out[0 .. length) = 0, then out[index] = value for every entry of a checked list.
SPK_KERNEL void spk_dense_from_active_f32(const spk_active *active, size_t count,
                                          float *restrict out, size_t length) {
  memset(out, 0, length * sizeof(float));
  for (size_t i = 0; i < count; i++) out[active[i].index] = active[i].value;
}

// out[0 .. length) = frame, where a zero has no sign, as it has none in a list.
SPK_KERNEL void spk_dense_from_frame_f32(const float *restrict frame, float *restrict out,
                                         size_t length) {
  for (size_t i = 0; i < length; i++) out[i] = frame[i] + 0.0f;
}

// out[0 .. length) = 0, then out[spike] = grades[spike * per_neuron] for every spike. `grades` is
// the size of a spike: one value (per_neuron 0) or one a neuron (per_neuron 1).
SPK_KERNEL void spk_dense_from_spikes_f32(const spk_index *spikes, uint32_t count,
                                          const float *grades, uint32_t per_neuron,
                                          float *restrict out, size_t length) {
  memset(out, 0, length * sizeof(float));
  for (uint32_t i = 0; i < count; i++) out[spikes[i]] = grades[(size_t)spikes[i] * per_neuron];
}

// values[p][c] = values[p][c] * scale[c] + shift[c], in place.
SPK_KERNEL void spk_affine_dense_f32(const float *restrict scale, const float *restrict shift,
                                     uint32_t channels, float *restrict values,
                                     uint32_t positions) {
  const float *restrict addend = spk_opaque_f32(shift);
  for (uint32_t p = 0; p < positions; p++, values += channels) {
    for (uint32_t c = 0; c < channels; c++) values[c] = values[c] * scale[c] + addend[c];
  }
}

#endif  // SPK_DENSE_F32_H_
