// SPDX-License-Identifier: Apache-2.0
// From dense frames in snnTorch's order to lists of active inputs in memory order.
#include "spk_frame.h"

// Built with flags for a CPU with AVX-512, as Model.build() does, this needs no level.
#if defined(__AVX512F__)
#include "spk_nonzero_avx512.h"
#else
#include "spk_nonzero_generic.h"
#endif
// What follows needs what is above.
#include "spk_frame_scan.h"
#include "spk_level.h"

size_t spk_active_from_frame(const float *frame, uint32_t channels, uint32_t positions,
                             spk_active *active) {
#if defined(SPK_HAS_LEVELS)
  if (SPK_CPU_IS("x86-64-v4")) return spk_frame_scan_v4(frame, channels, positions, active);
  if (SPK_CPU_IS("x86-64-v3")) return spk_frame_scan_v3(frame, channels, positions, active);
#endif
  return spk_frame_scan(frame, channels, positions, active);
}
