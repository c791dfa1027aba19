// SPDX-License-Identifier: Apache-2.0
// spk_frame.c for CPUs with AVX2; empty for others.
#include "spk_level.h"

#if defined(SPK_HAS_LEVELS)
#pragma GCC target("arch=x86-64-v3")

#include "spk_nonzero_generic.h"
// What follows needs what is above.
#include "spk_frame_scan.h"

size_t spk_frame_scan_v3(const float *frame, uint32_t channels, uint32_t positions,
                         spk_active *active) {
  return spk_frame_scan(frame, channels, positions, active);
}
#endif

typedef int spk_frame_v3_is_not_empty;
