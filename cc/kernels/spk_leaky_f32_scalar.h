// SPDX-License-Identifier: Apache-2.0
// Leaky neurons one after the other, for CPUs without vectors.
#ifndef SPK_LEAKY_F32_SCALAR_H_
#define SPK_LEAKY_F32_SCALAR_H_

#include "spk_leaky_neuron_f32.h"
#include "spk_spikes.h"

enum { SPK_LEAKY_BLOCK = 32 };  // channels updated at a time

// Updates the neurons of `rows` rows of the layer from row `y` on: their `membrane` (of the layer's
// [height][width][channels]) from `current` [rows * pool_height][in_width][channels]. Appends the
// positions of those that spiked to `spikes`, which has room for every neuron and holds `count`,
// and returns the new count.
SPK_KERNEL uint32_t spk_leaky_rows_f32(const spk_leaky_f32 *leaky, uint32_t y, uint32_t rows,
                                       const float *restrict current, float *restrict membrane,
                                       spk_index *restrict spikes, uint32_t count) {
  const uint32_t channels = leaky->channels;
  const uint32_t beta_step = leaky->beta.per_channel;
  const uint32_t threshold_step = leaky->threshold.per_channel;
  uint32_t position = y * leaky->width;
  for (uint32_t row = 0; row < rows; row++) {
    for (uint32_t x = 0; x < leaky->width; x++, position++) {
      const float *restrict window = current + ((size_t)row * leaky->pool_height * leaky->in_width +
                                                (size_t)x * leaky->pool_width) *
                                                   channels;
      const float *beta = leaky->beta.values + (size_t)position * leaky->beta.per_position;
      const float *threshold =
          leaky->threshold.values + (size_t)position * leaky->threshold.per_position;
      const uint32_t first = position * channels;
      for (uint32_t from = 0; from < channels; from += SPK_LEAKY_BLOCK) {
        const uint32_t left = channels - from;
        const uint32_t block = left < SPK_LEAKY_BLOCK ? left : SPK_LEAKY_BLOCK;
        uint8_t fired[SPK_LEAKY_BLOCK];
        // The arithmetic of a block of channels has no branch and vectorises.
        for (uint32_t i = 0; i < block; i++) {
          const uint32_t c = from + i;
          bool spiked;
          membrane[first + c] = spk_leaky_update_f32(
              membrane[first + c], spk_leaky_pooled_f32(leaky, window + c),
              beta[(size_t)c * beta_step], threshold[(size_t)c * threshold_step], leaky->reset,
              leaky->reset_delay, &spiked);
          fired[i] = spiked;
        }
        for (uint32_t i = 0; i < block; i++) {
          // Written always, kept when it spiked: no branch to mispredict.
          spikes[count] = (spk_index)(first + from + i);
          count += fired[i];
        }
      }
    }
  }
  return count;
}

#endif  // SPK_LEAKY_F32_SCALAR_H_
