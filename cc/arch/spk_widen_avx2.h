// SPDX-License-Identifier: Apache-2.0
// Loading int8 into vectors of wider integers with AVX2.
#ifndef SPK_WIDEN_AVX2_H_
#define SPK_WIDEN_AVX2_H_

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "spk_kernel.h"
#include "spk_lanes.h"

// Four int8 in the lowest lanes.
SPK_KERNEL __m128i spk_load_i8x4(const int8_t *from) {
  int32_t bits;
  memcpy(&bits, from, sizeof bits);
  return _mm_cvtsi32_si128(bits);
}

SPK_KERNEL spk_i16x16 spk_widen_i16x16(const int8_t *from) {
  return (spk_i16x16)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i_u *)(const void *)from));
}
SPK_KERNEL spk_i16x8 spk_widen_i16x8(const int8_t *from) {
  return (spk_i16x8)_mm_cvtepi8_epi16(_mm_loadu_si64(from));
}
SPK_KERNEL spk_i16x4 spk_widen_i16x4(const int8_t *from) {
  return (spk_i16x4)_mm_cvtsi128_si64(_mm_cvtepi8_epi16(spk_load_i8x4(from)));
}
SPK_KERNEL spk_i32x8 spk_widen_i32x8(const int8_t *from) {
  return (spk_i32x8)_mm256_cvtepi8_epi32(_mm_loadu_si64(from));
}
SPK_KERNEL spk_i32x4 spk_widen_i32x4(const int8_t *from) {
  return (spk_i32x4)_mm_cvtepi8_epi32(spk_load_i8x4(from));
}

#endif  // SPK_WIDEN_AVX2_H_
