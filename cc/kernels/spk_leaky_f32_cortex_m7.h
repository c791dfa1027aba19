// SPDX-License-Identifier: Apache-2.0
// Leaky neurons for a Cortex-M7 with its floating-point unit: four at a time where one decay and
// one threshold serve all and a spike subtracts it one step later, one after the other elsewhere.
// Same bits.
#ifndef SPK_LEAKY_F32_CORTEX_M7_H_
#define SPK_LEAKY_F32_CORTEX_M7_H_

#include "spk_leaky_neuron_f32.h"
#include "spk_spikes.h"

// Appends a neuron to the list of spikes if its membrane is above the threshold.
//@ only wide
#define SPK_APPEND_IF_ABOVE_ "strgt %[index], [%[spikes]], #4\n\t"
//@ only narrow
#define SPK_APPEND_IF_ABOVE_ "strhgt %[index], [%[spikes]], #2\n\t"

// What is left to do for the neuron whose membrane was in register `was` and is in `is`.
#define SPK_RESET_AND_FIRE_(was, is) \
  "vcmp.f32 " was                    \
  ", %[threshold]\n\t"               \
  "vmrs APSR_nzcv, FPSCR\n\t"        \
  "it gt\n\t"                        \
  "vsubgt.f32 " is ", " is           \
  ", %[threshold]\n\t"               \
  "vcmp.f32 " is                     \
  ", %[threshold]\n\t"               \
  "vmrs APSR_nzcv, FPSCR\n\t"        \
  "it gt\n\t" SPK_APPEND_IF_ABOVE_ "add %[index], %[index], #1\n\t"

// Updates `positions` neighbouring positions of `length` neurons each, a multiple of 4, from neuron
// `first` of the layer on, by the currents in the pooling windows from `current` on. Returns the
// end of the list of spikes, which so far ends at `spikes`.
//
// Four neurons share one comparison: of the largest of their membranes before and after the step,
// the latter still without a reset. Where that is not above the threshold, as it mostly is not,
// there is nothing to reset and no spike. VMLA rounds twice; it is VFMA that rounds once. VMAXNM
// takes 0.0 for larger than -0.0, but a sum of inputs is never -0.0 (docs/numbers.md).
SPK_KERNEL spk_index *spk_leaky_fours_f32(const spk_leaky_f32 *leaky, const float *current,
                                          float *membranes, uint32_t first, uint32_t length,
                                          uint32_t positions, uint32_t pool_height,
                                          uint32_t pool_width, spk_index *spikes) {
  const float beta = leaky->beta.values[0];
  const float threshold = leaky->threshold.values[0];
  const size_t row = (size_t)leaky->in_width * length;
  float *membrane = membranes + first;
  for (; positions != 0; positions--) {
    const float *const end = membrane + length;
    do {
      register float a __asm__("s0");
      register float b __asm__("s1");
      register float c __asm__("s2");
      register float d __asm__("s3");
      __asm__ volatile("vldmia %[current]!, {s0-s3}"
                       : [current] "+r"(current), "=t"(a), "=t"(b), "=t"(c), "=t"(d)
                       :
                       : "memory");
      SPK_UNROLL
      for (uint32_t i = 1; i < pool_height * pool_width; i++) {
        const float *const value = current + (i / pool_width * row + i % pool_width * length - 4);
        __asm__ volatile(
            "vldmia %[value], {s4-s7}\n\t"
            "vmaxnm.f32 s0, s0, s4\n\t"
            "vmaxnm.f32 s1, s1, s5\n\t"
            "vmaxnm.f32 s2, s2, s6\n\t"
            "vmaxnm.f32 s3, s3, s7"
            : "+t"(a), "+t"(b), "+t"(c), "+t"(d)
            : [value] "r"(value)
            : "memory", "s4", "s5", "s6", "s7");
      }
      // `current` is among the operands so that GCC keeps it where it is.
      uint32_t index;
      __asm__ volatile(
          "vldmia %[membrane], {s4-s7}\n\t"
          "vmla.f32 s0, s4, %[beta]\n\t"
          "vmla.f32 s1, s5, %[beta]\n\t"
          "vmla.f32 s2, s6, %[beta]\n\t"
          "vmla.f32 s3, s7, %[beta]\n\t"
          "vmaxnm.f32 s8, s4, s5\n\t"
          "vmaxnm.f32 s9, s6, s7\n\t"
          "vmaxnm.f32 s10, s0, s1\n\t"
          "vmaxnm.f32 s11, s2, s3\n\t"
          "vmaxnm.f32 s8, s8, s9\n\t"
          "vmaxnm.f32 s10, s10, s11\n\t"
          "vmaxnm.f32 s8, s8, s10\n\t"
          "vcmp.f32 s8, %[threshold]\n\t"
          "vmrs APSR_nzcv, FPSCR\n\t"
          "ble 1f\n\t"
          "sub %[index], %[membrane], %[membranes]\n\t"
          "lsr %[index], %[index], #2\n\t"
          SPK_RESET_AND_FIRE_("s4", "s0") SPK_RESET_AND_FIRE_("s5", "s1")
          SPK_RESET_AND_FIRE_("s6", "s2") SPK_RESET_AND_FIRE_("s7", "s3")
          "1:\n\t"
          "vstmia %[membrane]!, {s0-s3}"
          : [current] "+r"(current), [membrane] "+r"(membrane), [spikes] "+r"(spikes),
            [index] "=&r"(index), "+t"(a), "+t"(b), "+t"(c), "+t"(d)
          : [beta] "t"(beta), [threshold] "t"(threshold), [membranes] "r"(membranes)
          : "cc", "memory", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11");
    } while (membrane != end);
    current += (pool_width - 1) * length;
  }
  return spikes;
}

// The same for the two most frequent cases, each one function that all layers share.
SPK_APART spk_index *spk_leaky_alone_f32(const spk_leaky_f32 *leaky, const float *current,
                                         float *membranes, uint32_t first, uint32_t length,
                                         spk_index *spikes) {
  return spk_leaky_fours_f32(leaky, current, membranes, first, length, 1, 1, 1, spikes);
}
SPK_APART spk_index *spk_leaky_pool_2_f32(const spk_leaky_f32 *leaky, const float *current,
                                          float *membranes, uint32_t first, spk_index *spikes) {
  return spk_leaky_fours_f32(leaky, current, membranes, first, leaky->channels, leaky->width, 2, 2,
                             spikes);
}

// Updates the channels [from, to) of one position, one after the other. Returns the end of the list
// of spikes.
SPK_KERNEL spk_index *spk_leaky_each_f32(const spk_leaky_f32 *leaky, const float *current,
                                         float *membrane, uint32_t position, uint32_t from,
                                         uint32_t to, spk_index *spikes) {
  const uint32_t first = position * leaky->channels;
  const float *const beta = leaky->beta.values + (size_t)position * leaky->beta.per_position;
  const float *const threshold =
      leaky->threshold.values + (size_t)position * leaky->threshold.per_position;
  for (uint32_t c = from; c < to; c++) {
    bool spiked;
    membrane[first + c] =
        spk_leaky_update_f32(membrane[first + c], spk_leaky_pooled_f32(leaky, current + c),
                             beta[(size_t)c * leaky->beta.per_channel],
                             threshold[(size_t)c * leaky->threshold.per_channel], leaky->reset,
                             leaky->reset_delay, &spiked);
    if (spiked) *spikes++ = (spk_index)(first + c);
  }
  return spikes;
}

// Updates the neurons of `rows` rows of the layer from row `y` on: their `membrane` (of the layer's
// [height][width][channels]) from `current` [rows * pool_height][in_width][channels]. Appends the
// positions of those that spiked to `spikes`, which has room for every neuron and holds `count`,
// and returns the new count.
SPK_KERNEL uint32_t spk_leaky_rows_f32(const spk_leaky_f32 *leaky, uint32_t y, uint32_t rows,
                                       const float *restrict current, float *restrict membrane,
                                       spk_index *restrict spikes, uint32_t count) {
  const uint32_t channels = leaky->channels;
  const uint32_t pool_height = leaky->pool_height;
  const uint32_t pool_width = leaky->pool_width;
  const bool pooled = pool_height * pool_width != 1;
  const bool fours = leaky->reset == SPK_RESET_SUBTRACT && leaky->reset_delay &&
                     leaky->beta.per_channel + leaky->beta.per_position == 0 &&
                     leaky->threshold.per_channel + leaky->threshold.per_position == 0;
  uint32_t position = y * leaky->width;
  spk_index *end = spikes + count;
  if (fours && !pooled) {
    const uint32_t length = rows * leaky->width * channels;
    const uint32_t even = length / 4 * 4;
    if (even != 0) {
      end = spk_leaky_alone_f32(leaky, current, membrane, position * channels, even, end);
    }
    end = spk_leaky_each_f32(leaky, current, membrane, position, even, length, end);
    return (uint32_t)(end - spikes);
  }
  for (uint32_t row = 0; row < rows; row++) {
    const float *window = current + (size_t)row * pool_height * leaky->in_width * channels;
    if (fours && channels % 4 == 0) {
      const uint32_t first = position * channels;
      end = pool_height == 2 && pool_width == 2
                ? spk_leaky_pool_2_f32(leaky, window, membrane, first, end)
                : spk_leaky_fours_f32(leaky, window, membrane, first, channels, leaky->width,
                                      pool_height, pool_width, end);
      position += leaky->width;
      continue;
    }
    for (uint32_t x = 0; x < leaky->width; x++, position++) {
      end = spk_leaky_each_f32(leaky, window, membrane, position, 0, channels, end);
      window += (size_t)pool_width * channels;
    }
  }
  return (uint32_t)(end - spikes);
}

#endif  // SPK_LEAKY_F32_CORTEX_M7_H_
