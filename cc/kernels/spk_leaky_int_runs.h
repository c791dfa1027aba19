// SPDX-License-Identifier: Apache-2.0
// Leaky neurons in fixed point in long runs that compilers turn into vectors, for each pair of
// types.
#ifndef SPK_LEAKY_INT_RUNS_H_
#define SPK_LEAKY_INT_RUNS_H_

#include "spk_leaky_neuron_int.h"
#include "spk_spikes.h"

//@ template NUM  TYPE
//@          i16  int16_t
//@          i32  int32_t
// spk_param_laid_SUFFIX(param, channels, positions, scratch): a parameter that runs of neurons can
// read over `positions` positions, from any of them on. Where its strides do not allow that, as
// those of one value a channel, it is repeated in `scratch` [SPK_LEAKY_INT_RUN], at every position
// the same.
SPK_KERNEL spk_param_NUM spk_param_laid_NUM(spk_param_NUM param, uint32_t channels,
                                            uint32_t positions, TYPE *restrict scratch) {
  if (positions == 1 || param.per_position == channels * param.per_channel) return param;
  for (uint32_t p = 0; p < positions; p++) {
    for (uint32_t c = 0; c < channels; c++) {
      scratch[p * channels + c] = param.values[(size_t)c * param.per_channel];
    }
  }
  return (spk_param_NUM){scratch, 0, 1};
}
//@ end

//@ template CUR  MEM  CURRENT  MEMBRANE
//@          i16  i16  int16_t  int16_t
//@          i16  i32  int16_t  int32_t
//@          i32  i32  int32_t  int32_t
// The largest current in the pooling window whose first value is `current[0]`.
SPK_KERNEL CURRENT spk_leaky_pooled_CUR_MEM(const spk_leaky_MEM *leaky,
                                            const CURRENT *restrict current) {
  CURRENT largest = current[0];
  for (uint32_t y = 0; y < leaky->pool_height; y++) {
    for (uint32_t x = 0; x < leaky->pool_width; x++) {
      const CURRENT value = current[((size_t)y * leaky->in_width + x) * leaky->channels];
      largest = value > largest ? value : largest;
    }
  }
  return largest;
}

// Updates `length` neighbouring neurons, at most SPK_LEAKY_INT_RUN, the first of which stands at
// position `first` of the layer, and appends the positions of those that spiked to `spikes`, which
// holds `count`. The parameters are those of the first neuron. Returns the new count.
SPK_KERNEL uint32_t spk_leaky_run_CUR_MEM(const spk_leaky_MEM *leaky,
                                          const CURRENT *restrict current, spk_param_i16 decay,
                                          spk_param_MEM threshold, spk_param_MEM bias,
                                          MEMBRANE *restrict membrane, uint32_t first,
                                          uint32_t length, spk_index *restrict spikes,
                                          uint32_t count) {
  const bool biased = leaky->bias.values != NULL;
  uint32_t fired[SPK_LEAKY_INT_RUN];
  for (uint32_t i = 0; i < length; i++) {
    bool spiked;
    membrane[i] =
        spk_leaky_update_MEM(membrane[i], (uint32_t)current[i] << leaky->shift,
                             decay.values[(size_t)i * decay.per_channel],
                             threshold.values[(size_t)i * threshold.per_channel],
                             biased ? bias.values[(size_t)i * bias.per_channel] : (MEMBRANE)0,
                             leaky->reset, leaky->reset_delay, &spiked);
    fired[i] = spiked;
  }
  return spk_list_append(spikes, count, first, fired, length);
}

// Updates the neurons of `rows` rows of the layer from row `y` on: their `membrane` (of the layer's
// [height][width][channels]) from `current` [rows * pool_height][in_width][channels]. Appends the
// positions of those that spiked to `spikes`, which has room for every neuron and holds `count`,
// and returns the new count.
SPK_KERNEL uint32_t spk_leaky_rows_CUR_MEM(const spk_leaky_MEM *leaky, uint32_t y, uint32_t rows,
                                           const CURRENT *restrict current,
                                           MEMBRANE *restrict membrane, spk_index *restrict spikes,
                                           uint32_t count) {
  const uint32_t channels = leaky->channels;
  const bool pooled = leaky->pool_height * leaky->pool_width != 1;
  // Without pooling all rows are one as far as this is concerned.
  const uint32_t height = pooled ? rows : 1;
  const uint32_t width = pooled ? leaky->width : rows * leaky->width;
  const uint32_t fit = SPK_LEAKY_INT_RUN / channels;
  const uint32_t at_once = fit < 1 ? 1 : fit < width ? fit : width;
  int16_t decays[SPK_LEAKY_INT_RUN];
  MEMBRANE thresholds[SPK_LEAKY_INT_RUN];
  MEMBRANE biases[SPK_LEAKY_INT_RUN];
  const spk_param_i16 decay = spk_param_laid_i16(leaky->decay, channels, at_once, decays);
  const spk_param_MEM threshold =
      spk_param_laid_MEM(leaky->threshold, channels, at_once, thresholds);
  const spk_param_MEM bias = spk_param_laid_MEM(leaky->bias, channels, at_once, biases);
  for (uint32_t row = 0; row < height; row++) {
    for (uint32_t x = 0; x < width; x += at_once) {
      const uint32_t positions = width - x < at_once ? width - x : at_once;
      const uint32_t position = y * leaky->width + row * width + x;
      const CURRENT *restrict window =
          current +
          ((size_t)row * leaky->pool_height * leaky->in_width + x * leaky->pool_width) * channels;
      for (uint32_t c = 0; c < positions * channels; c += SPK_LEAKY_INT_RUN) {
        const uint32_t left = positions * channels - c;
        const uint32_t length = left < SPK_LEAKY_INT_RUN ? left : SPK_LEAKY_INT_RUN;
        CURRENT largest[SPK_LEAKY_INT_RUN];
        if (pooled) {
          const uint32_t each = length < channels ? length : channels;
          for (uint32_t p = 0; p < positions; p++) {
            for (uint32_t i = 0; i < each; i++) {
              largest[p * channels + i] = spk_leaky_pooled_CUR_MEM(
                  leaky, window + (size_t)p * leaky->pool_width * channels + c + i);
            }
          }
        }
        const uint32_t first = position * channels + c;
        count = spk_leaky_run_CUR_MEM(
            leaky, pooled ? largest : window + c, spk_param_from_i16(decay, position, c),
            spk_param_from_MEM(threshold, position, c), spk_param_from_MEM(bias, position, c),
            membrane + first, first, length, spikes, count);
      }
    }
  }
  return count;
}

// All of the layer in one go: `current` is [rows >= height * pool_height][in_width][channels].
// Writes the positions of those that spiked to `spikes` and returns their number.
SPK_KERNEL uint32_t spk_leaky_step_CUR_MEM(const spk_leaky_MEM *leaky,
                                           const CURRENT *restrict current,
                                           MEMBRANE *restrict membrane,
                                           spk_index *restrict spikes) {
  return spk_leaky_rows_CUR_MEM(leaky, 0, leaky->height, current, membrane, spikes, 0);
}
//@ end

#endif  // SPK_LEAKY_INT_RUNS_H_
