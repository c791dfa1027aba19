// SPDX-License-Identifier: Apache-2.0
// How a class is decided from a network's outputs over time; NAME.c puts it together.
#ifndef SPK_READOUT_H_
#define SPK_READOUT_H_

#include <stdbool.h>
#include <stdint.h>

#include "spk_kernel.h"

// Adds one step's `spikes`, 0 or 1 each, to `counts`, both [outputs].
SPK_KERNEL void spk_readout_count(uint32_t *counts, const uint8_t *spikes, uint32_t outputs) {
  for (uint32_t i = 0; i < outputs; i++) counts[i] += spikes[i];
}

// The first of `outputs` that spiked; `outputs` when none did.
SPK_KERNEL uint32_t spk_readout_first(const uint8_t *spikes, uint32_t outputs) {
  uint32_t i = 0;
  while (i < outputs && spikes[i] == 0) i++;
  return i;
}

// The output with the largest of `values` [outputs]; the first one when several have it.
SPK_KERNEL uint32_t spk_readout_largest(const float *values, uint32_t outputs) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < outputs; i++) {
    if (values[i] > values[best]) best = i;
  }
  return best;
}

// Whether the leader has at least `before` spikes more than every output before it, and at least
// `after` more than every one behind it. The leader has the most, so that no difference is
// negative.
SPK_KERNEL bool spk_readout_counts_lead(const uint32_t *counts, uint32_t outputs, uint32_t leader,
                                        uint32_t before, uint32_t after) {
  for (uint32_t i = 0; i < outputs; i++) {
    if (i != leader && counts[leader] - counts[i] < (i < leader ? before : after)) return false;
  }
  return true;
}

// Whether the leader's value is at least `margin` above every other one.
SPK_KERNEL bool spk_readout_values_lead(const float *values, uint32_t outputs, uint32_t leader,
                                        float margin) {
  for (uint32_t i = 0; i < outputs; i++) {
    if (i != leader && !(values[leader] - values[i] >= margin)) return false;
  }
  return true;
}

#endif  // SPK_READOUT_H_
