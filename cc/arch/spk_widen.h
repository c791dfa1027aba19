// SPDX-License-Identifier: Apache-2.0
// Loading int8 into vectors of wider integers: spk_widen_i16x8(from) and the like. Only where
// spk_lanes.h has vectors; as wide as this CPU's are.
#ifndef SPK_WIDEN_H_
#define SPK_WIDEN_H_

// GCC does not find the one instruction that does it.
#if defined(__AVX2__)
#include "spk_widen_avx2.h"
#else
#include "spk_widen_generic.h"
#endif
#if defined(__AVX512BW__)
#include "spk_widen_avx512.h"
#endif

#endif  // SPK_WIDEN_H_
