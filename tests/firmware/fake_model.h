// SPDX-License-Identifier: Apache-2.0
// A tiny network written by hand, to test the firmware without the generator: 8 inputs, a layer of
// 6 leaky neurons with 2-byte spike indices, a layer of 3 with 4-byte ones.
#ifndef FAKE_MODEL_H_
#define FAKE_MODEL_H_

#include <stdint.h>

#include "spk_model.h"

enum { FAKE_INPUTS = 8, FAKE_HIDDEN = 6, FAKE_OUTPUTS = 3 };

typedef struct fake_state {
  float hidden[FAKE_HIDDEN];
  float out[FAKE_OUTPUTS];
  uint16_t hidden_spikes[FAKE_HIDDEN];
  uint32_t out_spikes[FAKE_OUTPUTS];
} fake_state;

extern const spk_model fake_model;

#endif  // FAKE_MODEL_H_
