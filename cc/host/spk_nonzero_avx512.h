// SPDX-License-Identifier: Apache-2.0
// Which values of a block are not zero, with AVX-512.
#ifndef SPK_NONZERO_AVX512_H_
#define SPK_NONZERO_AVX512_H_

#include <immintrin.h>
#include <stdint.h>

enum { SPK_NONZERO_BLOCK = 16 };  // values looked at together

// Bit i says whether values[i] is not zero, for i in [0, length), at most SPK_NONZERO_BLOCK.
static inline uint32_t spk_nonzero(const float *values, uint32_t length) {
  const __m512 block = _mm512_maskz_loadu_ps((__mmask16)((1u << length) - 1u), values);
  return _mm512_cmp_ps_mask(block, _mm512_setzero_ps(), _CMP_NEQ_UQ);
}

#endif  // SPK_NONZERO_AVX512_H_
