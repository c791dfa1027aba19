// SPDX-License-Identifier: Apache-2.0
// The innermost loop of collecting: spk_sum_tile_f32(tile) adds up what a tile of two by two
// outputs says. Each kind of CPU has its own file.
#ifndef SPK_SUM_F32_H_
#define SPK_SUM_F32_H_

#include "spk_lanes.h"

#if defined(__ARM_ARCH_7EM__) && defined(__ARM_FP) && defined(__GNUC__)
#include "spk_sum_f32_cortex_m7.h"
#elif defined(SPK_HAS_LANES)
#include "spk_sum_f32_lanes.h"
#else
#include "spk_sum_f32_generic.h"
#endif

#endif  // SPK_SUM_F32_H_
