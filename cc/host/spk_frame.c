// SPDX-License-Identifier: Apache-2.0
// From dense frames in snnTorch's order to lists of active inputs in memory order. Most of a frame
// is zero, so this runs at the speed of memory.
#include "spk_frame.h"

#include "spk_level.h"
#include "spk_list.h"

SPK_LEVELS(spk_frame_scan, (const float *frame, uint32_t channels, uint32_t positions,
                            spk_active *active, size_t *found));

// spk_active_from_frame that returns through `found`.
void SPK_AT_LEVEL(spk_frame_scan)(const float *frame, uint32_t channels, uint32_t positions,
                                  spk_active *active, size_t *found) {
  size_t count = 0;
  for (uint32_t start = 0; start < positions; start += SPK_LIST_BLOCK) {
    const uint32_t left = positions - start;
    const uint32_t length = left < SPK_LIST_BLOCK ? left : SPK_LIST_BLOCK;
    uint32_t any = 0;  // bit i: some channel at position start + i is not zero
    for (uint32_t c = 0; c < channels; c++) {
      any |= spk_list_nonzero(frame + (size_t)c * positions + start, length);
    }
    for (; any != 0; any &= any - 1u) {
      const uint32_t p = start + SPK_LOWEST_BIT(any);
      for (uint32_t c = 0; c < channels; c++) {
        // Written always, kept when it is not zero: no branch to mispredict.
        const float value = frame[(size_t)c * positions + p];
        active[count] = (spk_active){p * channels + c, value};
        count += value != 0.0f;
      }
    }
  }
  *found = count;
}

#if defined(SPK_LEVEL_BASE)
size_t spk_active_from_frame(const float *frame, uint32_t channels, uint32_t positions,
                             spk_active *active) {
  size_t found = 0;
  SPK_BEST_LEVEL(spk_frame_scan, (frame, channels, positions, active, &found));
  return found;
}
#endif
