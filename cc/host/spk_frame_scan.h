// SPDX-License-Identifier: Apache-2.0
// What spk_active_from_frame does, to be compiled for each level of x86-64 by a file of its own,
// which includes spk_nonzero_KIND.h before this. Most of a frame is zero, so this runs at the speed
// of memory.
#ifndef SPK_FRAME_SCAN_H_
#define SPK_FRAME_SCAN_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_spikes.h"

// The number of the lowest bit that is 1; there must be one.
static inline uint32_t spk_lowest_bit(uint32_t bits) {
#if defined(__GNUC__)
  return (uint32_t)__builtin_ctz(bits);
#else
  uint32_t bit = 0;
  while ((bits >> bit & 1u) == 0) bit++;
  return bit;
#endif
}

// The scans of the files for two levels of x86-64, where there are such.
size_t spk_frame_scan_v3(const float *frame, uint32_t channels, uint32_t positions,
                         spk_active *active);
size_t spk_frame_scan_v4(const float *frame, uint32_t channels, uint32_t positions,
                         spk_active *active);

// spk_active_from_frame of spk_frame.h.
static inline size_t spk_frame_scan(const float *frame, uint32_t channels, uint32_t positions,
                                    spk_active *active) {
  size_t count = 0;
  for (uint32_t start = 0; start < positions; start += SPK_NONZERO_BLOCK) {
    const uint32_t left = positions - start;
    const uint32_t length = left < SPK_NONZERO_BLOCK ? left : SPK_NONZERO_BLOCK;
    uint32_t any = 0;  // bit i: some channel at position start + i is not zero
    for (uint32_t c = 0; c < channels; c++) {
      any |= spk_nonzero(frame + (size_t)c * positions + start, length);
    }
    for (; any != 0; any &= any - 1u) {
      const uint32_t p = start + spk_lowest_bit(any);
      for (uint32_t c = 0; c < channels; c++) {
        // Written always, kept when it is not zero: no branch to mispredict.
        const float value = frame[(size_t)c * positions + p];
        active[count] = (spk_active){p * channels + c, value};
        count += value != 0.0f;
      }
    }
  }
  return count;
}

#endif  // SPK_FRAME_SCAN_H_
