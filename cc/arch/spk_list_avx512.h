// SPDX-License-Identifier: Apache-2.0
// Building lists of spikes with AVX-512, sixteen positions at a time.
#ifndef SPK_LIST_AVX512_H_
#define SPK_LIST_AVX512_H_

#include <immintrin.h>
#include <stdint.h>

#include "spk_kernel.h"
#include "spk_spikes.h"

// The lowest min(n, 32) bits.
SPK_KERNEL uint32_t spk_low_bits(uint32_t n) { return n < 32 ? (1u << n) - 1u : ~0u; }

// Stores the lowest `n` of sixteen 32-bit entries as spk_index.
SPK_KERNEL void spk_list_store(spk_index *to, __m512i entries, uint32_t n) {
  const __mmask16 kept = (__mmask16)spk_low_bits(n);
  _mm512_mask_storeu_epi32(to, kept, entries);                         //@ only wide
  _mm256_mask_storeu_epi16(to, kept, _mm512_cvtepi32_epi16(entries));  //@ only narrow
}

// Appends first + i to `spikes`, which holds `count` entries, for every fired[i] that is 1 (the
// others are 0), i in [0, length). Returns the new count.
SPK_KERNEL uint32_t spk_list_append(spk_index *restrict spikes, uint32_t count, uint32_t first,
                                    const uint32_t *restrict fired, uint32_t length) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (uint32_t i = 0; i < length; i += 16) {
    const __mmask16 inside = (__mmask16)spk_low_bits(length - i);
    const __m512i flags = _mm512_maskz_loadu_epi32(inside, fired + i);
    const __mmask16 ones = _mm512_test_epi32_mask(flags, flags);
    const __m512i position = _mm512_add_epi32(_mm512_set1_epi32((int)(first + i)), lane);
    const uint32_t found = (uint32_t)__builtin_popcount(ones);
    spk_list_store(spikes + count, _mm512_maskz_compress_epi32(ones, position), found);
    count += found;
  }
  return count;
}

// to[i] = from[i] + shift for i in [0, length), in the arithmetic of spk_index.
//@ only wide
SPK_KERNEL void spk_list_shift(spk_index *restrict to, const spk_index *restrict from,
                               uint32_t length, uint32_t shift) {
  uint32_t i = 0;
  do {  // most lists are short: one round, whose branch is not mispredicted
    const __mmask16 inside = (__mmask16)spk_low_bits(length - i);
    const __m512i entries = _mm512_maskz_loadu_epi32(inside, from + i);
    const __m512i moved = _mm512_add_epi32(entries, _mm512_set1_epi32((int)shift));
    _mm512_mask_storeu_epi32(to + i, inside, moved);
    i += 16;
  } while (i < length);
}

// to[i] = from[i] + shift for i in [0, length), in the arithmetic of spk_index.
//@ only narrow
SPK_KERNEL void spk_list_shift(spk_index *restrict to, const spk_index *restrict from,
                               uint32_t length, uint32_t shift) {
  uint32_t i = 0;
  do {  // most lists are short: one round, whose branch is not mispredicted
    const __mmask32 inside = spk_low_bits(length - i);
    const __m512i entries = _mm512_maskz_loadu_epi16(inside, from + i);
    const __m512i moved = _mm512_add_epi16(entries, _mm512_set1_epi16((short)shift));
    _mm512_mask_storeu_epi16(to + i, inside, moved);
    i += 32;
  } while (i < length);
}

#endif  // SPK_LIST_AVX512_H_
