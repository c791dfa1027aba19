// SPDX-License-Identifier: Apache-2.0
// What kernels say that C11 has no word for; compilers that are neither GCC nor Clang do without.
#ifndef SPK_KERNEL_H_
#define SPK_KERNEL_H_

// Kernels are always inlined, so that the compiler specialises each for its constant descriptor.
#if defined(__GNUC__)
#define SPK_KERNEL static inline __attribute__((always_inline))
#else
#define SPK_KERNEL static inline
#endif

// A part of a kernel that gets its own registers.
//@ only x86-64 x86-64-v3 x86-64-v4 aarch64 cortex-m7
#if defined(__GNUC__)
#define SPK_APART static __attribute__((noinline))
#else
#define SPK_APART static
#endif

// Before an inner loop: on cores without vectors a third of the loop is its own counting.
#if defined(__GNUC__) && __GNUC__ >= 8 && !defined(__clang__)
#define SPK_UNROLL _Pragma("GCC unroll 8")
#else
#define SPK_UNROLL
#endif

// After an array: it starts a cache line, because vectors that straddle two lines cost twice.
//@ only x86-64 x86-64-v3 x86-64-v4 aarch64
#define SPK_ALIGNED __attribute__((aligned(64)))
//@ only cortex-m7
#define SPK_ALIGNED __attribute__((aligned(4)))
//@ only generic
#define SPK_ALIGNED

#endif  // SPK_KERNEL_H_
