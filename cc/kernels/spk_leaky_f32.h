// SPDX-License-Identifier: Apache-2.0
// Leaky integrate-and-fire neurons in float32, as snnTorch's Leaky computes them, alone or reading
// their current through a max pooling. The rows themselves, spk_leaky_rows_f32, are in a file of
// their own for each kind of CPU.
#ifndef SPK_LEAKY_F32_H_
#define SPK_LEAKY_F32_H_

#include <stdint.h>

#include "spk_leaky_neuron_f32.h"
#include "spk_spikes.h"

// All of the layer in one go: `current` is [rows >= height * pool_height][in_width][channels],
// `membrane` [height][width][channels]. Writes the positions of those that spiked to `spikes`,
// which has room for every neuron, and returns their number.
SPK_KERNEL uint32_t spk_leaky_step_f32(const spk_leaky_f32 *leaky, const float *restrict current,
                                       float *restrict membrane, spk_index *restrict spikes) {
  return spk_leaky_rows_f32(leaky, 0, leaky->height, current, membrane, spikes, 0);
}

#endif  // SPK_LEAKY_F32_H_
