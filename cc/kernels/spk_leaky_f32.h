// SPDX-License-Identifier: Apache-2.0
// Leaky integrate-and-fire neurons in float32, as snnTorch's Leaky computes them, alone or reading
// their current through a max pooling.
#ifndef SPK_LEAKY_F32_H_
#define SPK_LEAKY_F32_H_

#include <stdint.h>

#include "spk_lanes.h"
#include "spk_leaky_neuron_f32.h"
#include "spk_spikes.h"

// spk_leaky_rows_f32(leaky, y, rows, current, membrane, spikes, count) updates the neurons of
// `rows` rows of the layer from row `y` on: their `membrane` (of the layer's
// [height][width][channels]) from `current` [rows * pool_height][in_width][channels]. It appends
// the positions of those that spiked to `spikes`, which has room for every neuron and holds
// `count`, and returns the new count. Each kind of CPU has its own file.
#if defined(__ARM_ARCH_7EM__) && (__ARM_FP & 8) && defined(__GNUC__)
#include "spk_leaky_f32_cortex_m7.h"
#elif defined(SPK_HAS_LANES)
#include "spk_leaky_f32_lanes.h"
#else
#include "spk_leaky_f32_scalar.h"
#endif

// All of the layer in one go: `current` is [rows >= height * pool_height][in_width][channels].
SPK_KERNEL uint32_t spk_leaky_step_f32(const spk_leaky_f32 *leaky, const float *restrict current,
                                       float *restrict membrane, spk_index *restrict spikes) {
  return spk_leaky_rows_f32(leaky, 0, leaky->height, current, membrane, spikes, 0);
}

#endif  // SPK_LEAKY_F32_H_
