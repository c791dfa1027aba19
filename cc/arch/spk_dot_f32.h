// SPDX-License-Identifier: Apache-2.0
// The innermost loop of every dense layer: neighbouring outputs, a block of channels each, sum
// values times weights in registers. Each CPU that has its own has its own file; SPK_PLAIN_C
// chooses the one for compilers without GNU C's vectors, which tests do to try it.
#ifndef SPK_DOT_F32_H_
#define SPK_DOT_F32_H_

// Without optimisation the compiler has no registers left for that assembly.
#if defined(__ARM_ARCH_7EM__) && defined(__ARM_FP) && defined(__GNUC__) && defined(__OPTIMIZE__)
#include "spk_dot_f32_cortex_m7.h"
#elif defined(__GNUC__) && !defined(SPK_PLAIN_C)
#include "spk_dot_f32_vectors.h"
#else
#include "spk_dot_f32_generic.h"
#endif

#endif  // SPK_DOT_F32_H_
