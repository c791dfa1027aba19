// SPDX-License-Identifier: Apache-2.0
// Vectors of float32, as GCC and Clang offer them to every CPU that has some: the same arithmetic,
// lane by lane, so the same bits. CPUs without vectors of floats do without, and so does
// SPK_PLAIN_C, which is for compilers without them and for tests.
#ifndef SPK_LANES_H_
#define SPK_LANES_H_

#if defined(__GNUC__) && !defined(SPK_PLAIN_C) && \
    (defined(__SSE2__) || (defined(__ARM_NEON) && defined(__aarch64__)))

// Vectors that may stand at any float's address and alias floats.
typedef float spk_f32x4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float spk_f32x8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float spk_f32x16 __attribute__((vector_size(64), aligned(4), may_alias));

// The widest vector that is one register of this CPU.
#if defined(__AVX512F__)
typedef spk_f32x16 spk_lanes;
#elif defined(__AVX__)
typedef spk_f32x8 spk_lanes;
#else
typedef spk_f32x4 spk_lanes;
#endif
enum { SPK_LANES = sizeof(spk_lanes) / sizeof(float) };
#define SPK_HAS_LANES

#endif

#endif  // SPK_LANES_H_
