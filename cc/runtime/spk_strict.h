// SPDX-License-Identifier: Apache-2.0
// Keeps the compiler to the arithmetic that is written, whatever its flags: the first thing in
// every C file that computes. A product and a sum fused into one operation round once and not
// twice, and give other bits.
#ifndef SPK_STRICT_H_
#define SPK_STRICT_H_

#if defined(__FAST_MATH__)
#error "-ffast-math (or -Ofast) changes what a network computes: compile this file without it"
#endif
#if defined(__clang__) || !defined(__GNUC__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

#endif  // SPK_STRICT_H_
