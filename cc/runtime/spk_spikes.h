// SPDX-License-Identifier: Apache-2.0
// Lists of active inputs and of spikes: what flows between layers, sorted by memory position.
#ifndef SPK_SPIKES_H_
#define SPK_SPIKES_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spk_status.h"

// One input that is not zero in this time step. `index` is the position in memory order
// [y][x][c] (channel last), `value` what the input counts: 1 for one event, 2 for two.
typedef struct spk_active {
  uint32_t index;
  float value;
} spk_active;

// The position of a neuron in its layer's memory order. Generated code defines SPK_WIDE_INDEX
// before its first include when one of its layers has more than 65,536 neurons.
#if defined(SPK_WIDE_INDEX)
typedef uint32_t spk_index;
#else
typedef uint16_t spk_index;
#endif

// The same pointer, of whose values the compiler knows nothing. GCC 12 joins a product and
// neighbouring + c and - c of constants into one vfmaddsub on x86-64 with FMA, although
// -ffp-contract=off forbids it and the result is rounded differently. Kernels read through this
// what they add to a product and could otherwise be known at compile time.
SPK_KERNEL const float *spk_opaque_f32(const float *values) {
  const float *volatile hidden = values;
  return hidden;
}

// Checks a list of active inputs: SPK_OK when indices rise strictly, lie below `inputs` and every
// value is finite. `active` may be NULL only when `count` is 0.
SPK_MUST_USE static inline spk_status spk_active_check(const spk_active *active, size_t count,
                                                       uint32_t inputs) {
  if (active == NULL && count != 0) return SPK_NULL_ARGUMENT;
  if (count > inputs) return SPK_TOO_MANY_INPUTS;
  uint32_t lowest = 0;  // the smallest index the next entry may have
  for (size_t i = 0; i < count; i++) {
    if (active[i].index >= inputs) return SPK_INDEX_OUT_OF_RANGE;
    if (active[i].index < lowest) return SPK_NOT_ASCENDING;
    // x - x is 0 for every finite x and NaN for the rest.
    if (!(active[i].value - active[i].value == 0.0f)) return SPK_NOT_FINITE;
    lowest = active[i].index + 1;
  }
  return SPK_OK;
}

// Checks a dense frame of `inputs` values: SPK_OK when every one is finite.
SPK_MUST_USE static inline spk_status spk_frame_check(const float *frame, uint32_t inputs) {
  if (frame == NULL) return SPK_NULL_ARGUMENT;
  for (uint32_t i = 0; i < inputs; i++) {
    if (!(frame[i] - frame[i] == 0.0f)) return SPK_NOT_FINITE;
  }
  return SPK_OK;
}

// Whether a value lies in [0, most], and whether it is a whole number too; `most` is below 2^24.
static inline bool spk_is_in_range(float value, uint32_t most) {
  return value >= 0.0f && value <= (float)most;
}
static inline bool spk_is_count(float value, uint32_t most) {
  return spk_is_in_range(value, most) && (float)(int32_t)value == value;
}

// What to say of a value that is none of those.
static inline spk_status spk_refused(float value) {
  return value - value == 0.0f ? SPK_OUT_OF_RANGE : SPK_NOT_FINITE;
}

// The same checks for a network whose largest input is `most`. A finite value that is not in
// [0, most] (range), or is no whole number in [0, most] (counts), is SPK_OUT_OF_RANGE.
#define SPK_CHECKS_OF_(kind, good)                                                               \
  SPK_MUST_USE static inline spk_status spk_active_check_##kind(                                 \
      const spk_active *active, size_t count, uint32_t inputs, uint32_t most) {                  \
    if (active == NULL && count != 0) return SPK_NULL_ARGUMENT;                                  \
    if (count > inputs) return SPK_TOO_MANY_INPUTS;                                              \
    uint32_t lowest = 0;                                                                         \
    for (size_t i = 0; i < count; i++) {                                                         \
      if (active[i].index >= inputs) return SPK_INDEX_OUT_OF_RANGE;                              \
      if (active[i].index < lowest) return SPK_NOT_ASCENDING;                                    \
      if (!good(active[i].value, most)) return spk_refused(active[i].value);                     \
      lowest = active[i].index + 1;                                                              \
    }                                                                                            \
    return SPK_OK;                                                                               \
  }                                                                                              \
  SPK_MUST_USE static inline spk_status spk_frame_check_##kind(const float *frame,               \
                                                               uint32_t inputs, uint32_t most) { \
    if (frame == NULL) return SPK_NULL_ARGUMENT;                                                 \
    for (uint32_t i = 0; i < inputs; i++) {                                                      \
      if (!good(frame[i], most)) return spk_refused(frame[i]);                                   \
    }                                                                                            \
    return SPK_OK;                                                                               \
  }
SPK_CHECKS_OF_(range, spk_is_in_range)
SPK_CHECKS_OF_(counts, spk_is_count)
#undef SPK_CHECKS_OF_

#endif  // SPK_SPIKES_H_
