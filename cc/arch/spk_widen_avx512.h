// SPDX-License-Identifier: Apache-2.0
// Loading int8 into the vectors of wider integers that AVX-512 has beyond AVX2.
#ifndef SPK_WIDEN_AVX512_H_
#define SPK_WIDEN_AVX512_H_

#include <immintrin.h>
#include <stdint.h>

#include "spk_kernel.h"
#include "spk_lanes.h"

SPK_KERNEL spk_i16x32 spk_widen_i16x32(const int8_t *from) {
  return (spk_i16x32)_mm512_cvtepi8_epi16(
      _mm256_loadu_si256((const __m256i_u *)(const void *)from));
}
SPK_KERNEL spk_i32x16 spk_widen_i32x16(const int8_t *from) {
  return (spk_i32x16)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i_u *)(const void *)from));
}

#endif  // SPK_WIDEN_AVX512_H_
