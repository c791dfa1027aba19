// SPDX-License-Identifier: Apache-2.0
// From lists and frames of whole numbers to dense int16 values.
#ifndef SPK_DENSE_INT_H_
#define SPK_DENSE_INT_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_spikes.h"

// out[0 .. length) = 0, then out[index] = value for every entry of a checked list of whole numbers.
SPK_KERNEL void spk_dense_from_active_i16(const spk_active *active, size_t count,
                                          int16_t *restrict out, size_t length) {
  memset(out, 0, length * sizeof(int16_t));
  for (size_t i = 0; i < count; i++) out[active[i].index] = (int16_t)active[i].value;
}

// out[0 .. length) = frame, a checked one of whole numbers.
SPK_KERNEL void spk_dense_from_frame_i16(const float *restrict frame, int16_t *restrict out,
                                         size_t length) {
  for (size_t i = 0; i < length; i++) out[i] = (int16_t)frame[i];
}

// out[0 .. length) = 0, then out[spike] = 1 for every spike.
SPK_KERNEL void spk_dense_from_spikes_i16(const spk_index *spikes, uint32_t count,
                                          int16_t *restrict out, size_t length) {
  memset(out, 0, length * sizeof(int16_t));
  for (uint32_t i = 0; i < count; i++) out[spikes[i]] = 1;
}

#endif  // SPK_DENSE_INT_H_
