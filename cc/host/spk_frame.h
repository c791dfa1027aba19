// SPDX-License-Identifier: Apache-2.0
// From dense frames in snnTorch's order to lists of active inputs in memory order.
#ifndef SPK_FRAME_H_
#define SPK_FRAME_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_spikes.h"

// Writes to `active` (room for channels * positions) what is not zero in `frame`
// [channels][positions], sorted by memory position p * channels + c, NaN and infinity included.
// Returns how many there are.
size_t spk_active_from_frame(const float *frame, uint32_t channels, uint32_t positions,
                             spk_active *active);

#endif  // SPK_FRAME_H_
