// SPDX-License-Identifier: Apache-2.0
// Leaky neurons in fixed point for a Cortex-M7, for each pair of types: four at a time where
// channels are a multiple of four, one decay serves all and a spike subtracts its threshold one
// step later; one after the other elsewhere.
//
// Four neurons share one branch: where no membrane is above its threshold, no spike is listed.
#ifndef SPK_LEAKY_INT_CORTEX_M7_H_
#define SPK_LEAKY_INT_CORTEX_M7_H_

#include "spk_leaky_neuron_int.h"
#include "spk_spikes.h"

// Two neighbouring int16, the lower one in the lower half.
typedef uint32_t __attribute__((may_alias)) spk_pair;

// clang-format off: by hand, as it leaves assembly alone.

// Loads four neighbouring int32 into a to d and moves on, or into e to h.
#define SPK_LOAD_LOW_(from)                                      \
  __asm__ volatile("ldmia.w %[words]!, {r4-r7}"                  \
                   : [words] "+r"(from), "=r"(a), "=r"(b), "=r"(c), "=r"(d) \
                   :                                             \
                   : "memory")
#define SPK_LOAD_HIGH_(from)                                     \
  __asm__ volatile("ldmia.w %[words], {r8-r11}"                  \
                   : "=r"(e), "=r"(f), "=r"(g), "=r"(h)          \
                   : [words] "r"(from)                           \
                   : "memory")

// x = the larger of x and y; and the same in both halves.
#define SPK_LARGER_(x, y) x = (y) > (x) ? (y) : (x)
#define SPK_LARGER_PAIR_(x, y)                                   \
  __asm__("ssub16 %[rest], %[value], %[largest]\n\t"             \
          "sel %[largest], %[value], %[largest]"                 \
          : [largest] "+&r"(x), [rest] "=&r"(rest)               \
          : [value] "r"(y))

// x += the upper word of y * z, rounded.
#define SPK_ADD_UPPER_(x, y, z)                                  \
  __asm__("smmlar %[sum], %[left], %[right], %[sum]"             \
          : [sum] "+r"(x)                                        \
          : [left] "r"(y), [right] "r"(z))

// The currents of four neurons, the largest ones in the pooling windows from `current` on: in a to
// d or, as pairs, in low and high.
#define SPK_POOLED_I32_                                          \
  SPK_LOAD_LOW_(current);                                        \
  SPK_UNROLL                                                     \
  for (uint32_t i = 1; i < pool_height * pool_width; i++) {      \
    SPK_LOAD_HIGH_(current - 4 + (i / pool_width * row + i % pool_width * length)); \
    SPK_LARGER_(a, e);                                           \
    SPK_LARGER_(b, f);                                           \
    SPK_LARGER_(c, g);                                           \
    SPK_LARGER_(d, h);                                           \
  }
#define SPK_POOLED_PAIRS_                                        \
  const spk_pair *pairs = (const spk_pair *)(const void *)current; \
  spk_pair low = pairs[0], high = pairs[1], rest;                \
  SPK_UNROLL                                                     \
  for (uint32_t i = 1; i < pool_height * pool_width; i++) {      \
    pairs = (const spk_pair *)(const void *)(current + i / pool_width * row +     \
                                             i % pool_width * length);           \
    SPK_LARGER_PAIR_(low, pairs[0]);                             \
    SPK_LARGER_PAIR_(high, pairs[1]);                            \
  }
#define SPK_POOLED_I16_                                          \
  SPK_POOLED_PAIRS_                                              \
  (void)rest;                                                    \
  a = (int16_t)low;                                              \
  b = (int32_t)low >> 16;                                        \
  c = (int16_t)high;                                             \
  d = (int32_t)high >> 16;                                       \
  current += 4;

// Resets the neuron whose membrane was in register `was` and is in `is`, if it spiked before.
#define SPK_RESET_(was, is, threshold)                           \
  "cmp " was ", " threshold "\n\t"                               \
  "it gt\n\t"                                                    \
  "subgt " is ", " is ", " threshold "\n\t"
// Appends the neuron in r11 to the list that ends at r10, if its membrane in `is` says so.
//@ only wide
#define SPK_APPEND_(is, threshold)                               \
  "cmp " is ", " threshold "\n\t"                                \
  "it gt\n\t"                                                    \
  "strgt r11, [r10], #4\n\t"                                     \
  "add r11, r11, #1\n\t"
//@ only narrow
#define SPK_APPEND_(is, threshold)                               \
  "cmp " is ", " threshold "\n\t"                                \
  "it gt\n\t"                                                    \
  "strhgt r11, [r10], #2\n\t"                                    \
  "add r11, r11, #1\n\t"

//@ template NAME                     TYPE     POOLED
//@          spk_leaky_fours_i32_i32  int32_t  SPK_POOLED_I32_
//@          spk_leaky_fours_i16_i32  int16_t  SPK_POOLED_I16_
// spk_leaky_fours_CURRENT_MEMBRANE(leaky, current, membranes, first, length, positions,
// pool_height, pool_width, spikes) updates `positions` neighbouring positions of `length` neurons
// each, a multiple of 4, from neuron `first` of the layer on, by the currents in the pooling
// windows from `current` on. Returns the end of the list of spikes, which so far ends at `spikes`.
//
// SMMLAR adds a product's upper word, rounded: of a membrane and decay * 2^17 that is the decay of
// spk_leaky_decay_i32, less the membrane itself where decay * 2^17 is too large for int32.
SPK_KERNEL spk_index *NAME(const spk_leaky_i32 *leaky, const TYPE *current, int32_t *membranes,
                           uint32_t first, uint32_t length, uint32_t positions,
                           uint32_t pool_height, uint32_t pool_width, spk_index *spikes) {
  const size_t row = (size_t)leaky->in_width * length;
  const uint32_t shift = leaky->shift;
  const int32_t decay = leaky->decay.values[0];
  const int32_t factor = (int32_t)((uint32_t)decay << 17);
  const bool biased = leaky->bias.values != NULL;
  const int32_t *threshold = leaky->threshold.values;
  const int32_t *bias = leaky->bias.values;
  if (leaky->threshold.per_position != 0) threshold += first;
  if (leaky->bias.per_position != 0) bias += first;
  int32_t *membrane = membranes + first;
  register spk_index *fired __asm__("s0") = spikes;
  for (; positions != 0; positions--) {
    for (uint32_t n = 0; n != length; n += 4) {
      register int32_t a __asm__("r4");
      register int32_t b __asm__("r5");
      register int32_t c __asm__("r6");
      register int32_t d __asm__("r7");
      register int32_t e __asm__("r8");
      register int32_t f __asm__("r9");
      register int32_t g __asm__("r10");
      register int32_t h __asm__("r11");
      POOLED
      if (biased) {
        SPK_LOAD_HIGH_(bias + n);
        a = (int32_t)((uint32_t)e + ((uint32_t)a << shift));
        b = (int32_t)((uint32_t)f + ((uint32_t)b << shift));
        c = (int32_t)((uint32_t)g + ((uint32_t)c << shift));
        d = (int32_t)((uint32_t)h + ((uint32_t)d << shift));
      } else {
        a = (int32_t)((uint32_t)a << shift);
        b = (int32_t)((uint32_t)b << shift);
        c = (int32_t)((uint32_t)c << shift);
        d = (int32_t)((uint32_t)d << shift);
      }
      SPK_LOAD_HIGH_(membrane);
      if (factor < 0) {
        a += e;
        b += f;
        c += g;
        d += h;
      }
      SPK_ADD_UPPER_(a, e, factor);
      SPK_ADD_UPPER_(b, f, factor);
      SPK_ADD_UPPER_(c, g, factor);
      SPK_ADD_UPPER_(d, h, factor);
      uint32_t limit;
      uint32_t other;
      __asm__ volatile(
          "ldrd %[t], %[u], [%[thresholds]]\n\t"
          SPK_RESET_("r8", "r4", "%[t]")
          SPK_RESET_("r9", "r5", "%[u]")
          "ldrd r8, r9, [%[thresholds], #8]\n\t"
          SPK_RESET_("r10", "r6", "r8")
          SPK_RESET_("r11", "r7", "r9")
          "cmp r4, %[t]\n\t"
          "ittt le\n\t"
          "cmple r5, %[u]\n\t"
          "cmple r6, r8\n\t"
          "cmple r7, r9\n\t"
          "ble 1f\n\t"
          "vmov r10, %[membranes]\n\t"
          "sub r11, %[membrane], r10\n\t"
          "lsr r11, r11, #2\n\t"
          "vmov r10, %[fired]\n\t"
          SPK_APPEND_("r4", "%[t]")
          SPK_APPEND_("r5", "%[u]")
          SPK_APPEND_("r6", "r8")
          SPK_APPEND_("r7", "r9")
          "vmov %[fired], r10\n"
          "1:\n\t"
          "stmia.w %[membrane]!, {r4-r7}"
          : [membrane] "+&r"(membrane), [fired] "+&t"(fired), [t] "=&r"(limit),
            [u] "=&r"(other), "+&r"(a), "+&r"(b), "+&r"(c), "+&r"(d), "+&r"(e), "+&r"(f),
            "+&r"(g), "+&r"(h)
          : [thresholds] "r"(threshold + n), [membranes] "t"(membranes)
          : "cc", "memory");
    }
    current += (pool_width - 1) * length;
    if (leaky->threshold.per_position != 0) threshold += length;
    if (leaky->bias.per_position != 0) bias += length;
  }
  return fired;
}
//@ end

// Two membranes of `was`, one step later, without currents.
#define SPK_DECAYED_PAIR_(is, was, factor, half)                                                  \
  __asm__("smlabb %[low], %[pair], %[by], %[round]\n\t"                                           \
          "smlatb %[both], %[pair], %[by], %[round]\n\t"                                          \
          "asr %[low], %[low], #15\n\t"                                                           \
          "pkhbt %[both], %[low], %[both], lsl #1"                                                \
          : [low] "=&r"(rest), [both] "=&r"(is)                                                   \
          : [pair] "r"(was), [by] "r"(factor), [round] "r"(half))
#define SPK_ADD_PAIR_(x, y) \
  __asm__("sadd16 %[sum], %[sum], %[value]" : [sum] "+r"(x) : [value] "r"(y))
// is -= limit in the halves where `was` is above `limit`.
#define SPK_RESET_PAIR_(is, was, limit)                                                           \
  __asm__("ssub16 %[rest], %[most], %[before]\n\t"                                                \
          "sel %[rest], %[zero], %[most]\n\t"                                                     \
          "ssub16 %[now], %[now], %[rest]"                                                        \
          : [now] "+&r"(is), [rest] "=&r"(rest)                                                   \
          : [most] "r"(limit), [before] "r"(was), [zero] "r"(0))
// above = ones in the halves where `is` is above `limit`, else 0.
#define SPK_COMPARE_PAIR_(above, is, limit)                                                       \
  __asm__("ssub16 %[rest], %[most], %[now]\n\t"                                                   \
          "sel %[mark], %[zero], %[ones]"                                                         \
          : [mark] "=&r"(above), [rest] "=&r"(rest)                                               \
          : [most] "r"(limit), [now] "r"(is), [zero] "r"(0), [ones] "r"(~0u))

SPK_KERNEL spk_index *spk_leaky_fours_i16_i16(const spk_leaky_i16 *leaky, const int16_t *current,
                                              int16_t *membranes, uint32_t first, uint32_t length,
                                              uint32_t positions, uint32_t pool_height,
                                              uint32_t pool_width, spk_index *spikes) {
  const size_t row = (size_t)leaky->in_width * length;
  const int32_t decay = leaky->decay.values[0];
  const bool biased = leaky->bias.values != NULL;
  // What a shift to the left leaves of both halves' bits.
  const spk_pair kept = (0xffffu << leaky->shift & 0xffffu) * 0x10001u;
  const int16_t *threshold = leaky->threshold.values;
  const int16_t *bias = leaky->bias.values;
  if (leaky->threshold.per_position != 0) threshold += first;
  if (leaky->bias.per_position != 0) bias += first;
  int16_t *membrane = membranes + first;
  for (; positions != 0; positions--) {
    for (uint32_t n = 0; n != length; n += 4, membrane += 4) {
      SPK_POOLED_PAIRS_
      current += 4;
      if (leaky->shift != 0) {
        low = low << leaky->shift & kept;
        high = high << leaky->shift & kept;
      }
      if (biased) {
        const spk_pair *const added = (const spk_pair *)(const void *)(bias + n);
        SPK_ADD_PAIR_(low, added[0]);
        SPK_ADD_PAIR_(high, added[1]);
      }
      spk_pair *const place = (spk_pair *)(void *)membrane;
      const spk_pair low_was = place[0], high_was = place[1];
      spk_pair decayed;
      SPK_DECAYED_PAIR_(decayed, low_was, decay, 0x4000);
      SPK_ADD_PAIR_(low, decayed);
      SPK_DECAYED_PAIR_(decayed, high_was, decay, 0x4000);
      SPK_ADD_PAIR_(high, decayed);
      const spk_pair *const limits = (const spk_pair *)(const void *)(threshold + n);
      const spk_pair low_limit = limits[0], high_limit = limits[1];
      SPK_RESET_PAIR_(low, low_was, low_limit);
      SPK_RESET_PAIR_(high, high_was, high_limit);
      place[0] = low;
      place[1] = high;
      spk_pair low_above, high_above;
      SPK_COMPARE_PAIR_(low_above, low, low_limit);
      SPK_COMPARE_PAIR_(high_above, high, high_limit);
      if ((low_above | high_above) != 0) {
        // Written always, kept when it spiked; hidden, or it would be prepared where none did.
        uint32_t index = (uint32_t)(membrane - membranes);
        SPK_HIDE(index);
        SPK_HIDE(low_above);
        SPK_HIDE(high_above);
        *spikes = (spk_index)index;
        spikes += low_above & 1;
        *spikes = (spk_index)(index + 1);
        spikes += low_above >> 31;
        *spikes = (spk_index)(index + 2);
        spikes += high_above & 1;
        *spikes = (spk_index)(index + 3);
        spikes += high_above >> 31;
      }
    }
    current += (pool_width - 1) * length;
    if (leaky->threshold.per_position != 0) threshold += length;
    if (leaky->bias.per_position != 0) bias += length;
  }
  return spikes;
}

// clang-format on

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

// Updates `positions` neighbouring positions from `position` on, one neuron after the other.
// Returns the end of the list of spikes.
SPK_KERNEL spk_index *spk_leaky_each_CUR_MEM(const spk_leaky_MEM *leaky, const CURRENT *current,
                                             MEMBRANE *membrane, uint32_t position,
                                             uint32_t positions, spk_index *spikes) {
  const uint32_t channels = leaky->channels;
  for (; positions != 0; positions--, position++) {
    const uint32_t first = position * channels;
    const spk_param_i16 decay = spk_param_from_i16(leaky->decay, position, 0);
    const spk_param_MEM threshold = spk_param_from_MEM(leaky->threshold, position, 0);
    const spk_param_MEM bias = spk_param_from_MEM(leaky->bias, position, 0);
    for (uint32_t c = 0; c < channels; c++) {
      bool spiked;
      membrane[first + c] = spk_leaky_update_MEM(
          membrane[first + c],
          (uint32_t)spk_leaky_pooled_CUR_MEM(leaky, current + c) << leaky->shift,
          decay.values[(size_t)c * decay.per_channel],
          threshold.values[(size_t)c * threshold.per_channel],
          bias.values == NULL ? (MEMBRANE)0 : bias.values[(size_t)c * bias.per_channel],
          leaky->reset, leaky->reset_delay, &spiked);
      if (spiked) *spikes++ = (spk_index)(first + c);
    }
    current += (size_t)leaky->pool_width * channels;
  }
  return spikes;
}

// Updates the neurons of `rows` rows of the layer from row `y` on: their `membrane` (of the layer's
// [height][width][channels]) from `current` [rows * pool_height][in_width][channels]. Appends the
// positions of those that spiked to `spikes`, which has room for every neuron and holds `count`,
// and returns the new count.
SPK_KERNEL uint32_t spk_leaky_rows_CUR_MEM(const spk_leaky_MEM *leaky, uint32_t y, uint32_t rows,
                                           const CURRENT *current, MEMBRANE *membrane,
                                           spk_index *spikes, uint32_t count) {
  const uint32_t channels = leaky->channels;
  const bool pooled = leaky->pool_height * leaky->pool_width != 1;
  const bool fours = leaky->reset == SPK_RESET_SUBTRACT && leaky->reset_delay &&
                     leaky->decay.per_channel + leaky->decay.per_position == 0 &&
                     leaky->threshold.per_channel == 1 &&
                     (leaky->bias.values == NULL || leaky->bias.per_channel == 1) &&
                     channels % 4 == 0;
  // Without pooling all rows are one as far as this is concerned.
  const uint32_t height = pooled ? rows : 1;
  const uint32_t width = pooled ? leaky->width : rows * leaky->width;
  const size_t step = (size_t)leaky->pool_height * leaky->in_width * channels;
  uint32_t position = y * leaky->width;
  spk_index *end = spikes + count;
  for (uint32_t row = 0; row < height; row++, current += step, position += width) {
    if (fours) {
      end = spk_leaky_fours_CUR_MEM(leaky, current, membrane, position * channels, channels, width,
                                    leaky->pool_height, leaky->pool_width, end);
    } else {
      end = spk_leaky_each_CUR_MEM(leaky, current, membrane, position, width, end);
    }
  }
  return (uint32_t)(end - spikes);
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

#endif  // SPK_LEAKY_INT_CORTEX_M7_H_
