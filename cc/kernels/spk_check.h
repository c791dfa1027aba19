// SPDX-License-Identifier: Apache-2.0
// Checks of what a caller hands over, before anything is written.
#ifndef SPK_CHECK_H_
#define SPK_CHECK_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spk_spikes.h"
#include "spk_status.h"

// Checks a list of active inputs: SPK_OK when indices rise strictly, lie below `inputs` and every
// value is finite. `active` may be NULL only when `count` is 0.
static inline spk_status spk_active_check(const spk_active *active, size_t count, uint32_t inputs) {
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
static inline spk_status spk_frame_check(const float *frame, uint32_t inputs) {
  if (frame == NULL) return SPK_NULL_ARGUMENT;
  for (uint32_t i = 0; i < inputs; i++) {
    if (!(frame[i] - frame[i] == 0.0f)) return SPK_NOT_FINITE;
  }
  return SPK_OK;
}

// Whether a value lies in [0, most], and whether it is an integer too; `most` is below 2^24.
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

//@ template KIND    IS_GOOD
//@          range   spk_is_in_range
//@          counts  spk_is_count
// The same checks for a network whose largest input is `most`. A finite value that is not in
// [0, most] (range), or is no integer in [0, most] (counts), is SPK_OUT_OF_RANGE.
static inline spk_status spk_active_check_KIND(const spk_active *active, size_t count,
                                               uint32_t inputs, uint32_t most) {
  if (active == NULL && count != 0) return SPK_NULL_ARGUMENT;
  if (count > inputs) return SPK_TOO_MANY_INPUTS;
  uint32_t lowest = 0;
  for (size_t i = 0; i < count; i++) {
    if (active[i].index >= inputs) return SPK_INDEX_OUT_OF_RANGE;
    if (active[i].index < lowest) return SPK_NOT_ASCENDING;
    if (!IS_GOOD(active[i].value, most)) return spk_refused(active[i].value);
    lowest = active[i].index + 1;
  }
  return SPK_OK;
}
static inline spk_status spk_frame_check_KIND(const float *frame, uint32_t inputs, uint32_t most) {
  if (frame == NULL) return SPK_NULL_ARGUMENT;
  for (uint32_t i = 0; i < inputs; i++) {
    if (!IS_GOOD(frame[i], most)) return spk_refused(frame[i]);
  }
  return SPK_OK;
}
//@ end

#endif  // SPK_CHECK_H_
