// SPDX-License-Identifier: Apache-2.0
// Leaky neurons in long runs that compilers turn into vectors: first the pooling, then the
// arithmetic, then the list, none with a branch on data.
#ifndef SPK_LEAKY_F32_LANES_H_
#define SPK_LEAKY_F32_LANES_H_

#include "spk_leaky_neuron_f32.h"

enum { SPK_LEAKY_RUN = 512 };  // neurons updated at a time

// Updates `length` neighbouring neurons, at most SPK_LEAKY_RUN, the first of which stands at
// position `first` of the layer, and appends the positions of those that spiked to `spikes`, which
// holds `count`. Returns the new count.
SPK_KERNEL uint32_t spk_leaky_run_f32(const spk_leaky_f32 *leaky, const float *restrict current,
                                      const float *restrict beta, const float *restrict threshold,
                                      float *restrict membrane, uint32_t first, uint32_t length,
                                      spk_index *restrict spikes, uint32_t count) {
  const uint32_t beta_step = leaky->beta.per_channel;
  const uint32_t threshold_step = leaky->threshold.per_channel;
  uint32_t fired[SPK_LEAKY_RUN];
  for (uint32_t i = 0; i < length; i++) {
    bool spiked;
    membrane[i] = spk_leaky_update_f32(membrane[i], current[i], beta[(size_t)i * beta_step],
                                       threshold[(size_t)i * threshold_step], leaky->reset,
                                       leaky->reset_delay, &spiked);
    fired[i] = spiked;
  }
  return spk_list_append(spikes, count, first, fired, length);
}

// Updates the neurons of `rows` rows of the layer from row `y` on: their `membrane` (of the layer's
// [height][width][channels]) from `current` [rows * pool_height][in_width][channels]. Appends the
// positions of those that spiked to `spikes`, which has room for every neuron and holds `count`,
// and returns the new count.
SPK_KERNEL uint32_t spk_leaky_rows_f32(const spk_leaky_f32 *leaky, uint32_t y, uint32_t rows,
                                       const float *restrict current, float *restrict membrane,
                                       spk_index *restrict spikes, uint32_t count) {
  const uint32_t channels = leaky->channels;
  const bool pooled = leaky->pool_height * leaky->pool_width != 1;
  // Without pooling all rows are one as far as this is concerned.
  const uint32_t height = pooled ? rows : 1;
  const uint32_t width = pooled ? leaky->width : rows * leaky->width;
  // A run goes on over positions where that does not break the parameters' stride.
  const bool even = leaky->beta.per_position == channels * leaky->beta.per_channel &&
                    leaky->threshold.per_position == channels * leaky->threshold.per_channel;
  const uint32_t fit = SPK_LEAKY_RUN / channels;
  const uint32_t at_once = even && fit > 1 ? fit : 1;
  for (uint32_t row = 0; row < height; row++) {
    for (uint32_t x = 0; x < width; x += at_once) {
      const uint32_t positions = width - x < at_once ? width - x : at_once;
      const uint32_t position = y * leaky->width + row * width + x;
      const float *restrict window =
          current +
          ((size_t)row * leaky->pool_height * leaky->in_width + x * leaky->pool_width) * channels;
      for (uint32_t c = 0; c < positions * channels; c += SPK_LEAKY_RUN) {
        const uint32_t left = positions * channels - c;
        const uint32_t length = left < SPK_LEAKY_RUN ? left : SPK_LEAKY_RUN;
        float largest[SPK_LEAKY_RUN];
        if (pooled) {
          const uint32_t each = length < channels ? length : channels;
          for (uint32_t p = 0; p < positions; p++) {
            for (uint32_t i = 0; i < each; i++) {
              largest[p * channels + i] = spk_leaky_pooled_f32(
                  leaky, window + (size_t)p * leaky->pool_width * channels + c + i);
            }
          }
        }
        const uint32_t first = position * channels + c;
        count = spk_leaky_run_f32(leaky, pooled ? largest : window + c,
                                  leaky->beta.values + (size_t)position * leaky->beta.per_position +
                                      (size_t)c * leaky->beta.per_channel,
                                  leaky->threshold.values +
                                      (size_t)position * leaky->threshold.per_position +
                                      (size_t)c * leaky->threshold.per_channel,
                                  membrane + first, first, length, spikes, count);
      }
    }
  }
  return count;
}

#endif  // SPK_LEAKY_F32_LANES_H_
