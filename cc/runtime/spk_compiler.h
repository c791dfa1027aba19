// SPDX-License-Identifier: Apache-2.0
// What C11 has no word for, as this compiler spells it; GCC and Clang know all of it.
#ifndef SPK_COMPILER_H_
#define SPK_COMPILER_H_

#if defined(__GNUC__)
// A result that must not be ignored.
#define SPK_MUST_USE __attribute__((warn_unused_result))
// Kernels are always inlined, so that the compiler specialises each for its constant descriptor.
#define SPK_KERNEL static inline __attribute__((always_inline))
// Before an inner loop: on cores without vectors a third of the loop is its own counting.
#define SPK_UNROLL _Pragma("GCC unroll 8")
#else
#define SPK_MUST_USE
#define SPK_KERNEL static inline
#define SPK_UNROLL
#endif

// Functions that run kernels are compiled for several x86-64 levels where the loader can choose
// among them, so that one portable build uses the vectors it finds. The bits are the same.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    __GNUC__ >= 12
#define SPK_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define SPK_CLONES
#endif

#endif  // SPK_COMPILER_H_
