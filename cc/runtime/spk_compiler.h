// SPDX-License-Identifier: Apache-2.0
// What C11 has no word for, as this compiler spells it; GCC and Clang know all of it.
#ifndef SPK_COMPILER_H_
#define SPK_COMPILER_H_

#if defined(__GNUC__)
// A result that must not be ignored.
#define SPK_MUST_USE __attribute__((warn_unused_result))
// Kernels are always inlined, so that the compiler specialises each for its constant descriptor.
#define SPK_KERNEL static inline __attribute__((always_inline))
// A part of a kernel that gets its own registers.
#define SPK_APART static __attribute__((noinline))
// Before an inner loop: on cores without vectors a third of the loop is its own counting.
#define SPK_UNROLL _Pragma("GCC unroll 8")
// After an array: it starts a cache line, because vectors that straddle two lines cost twice.
#define SPK_ALIGNED __attribute__((aligned(64)))
// Before a struct's member or after an array: it starts a word, because instructions that load
// several words at a time want that.
#define SPK_WORD __attribute__((aligned(4)))
// Makes the compiler forget what it knows of a pointer's value; costs nothing at run time.
#define SPK_HIDE(pointer) __asm__("" : "+r"(pointer))
// The number of the lowest bit that is 1; there must be one.
#define SPK_LOWEST_BIT(bits) ((uint32_t)__builtin_ctz(bits))
#else
#define SPK_MUST_USE
#define SPK_KERNEL static inline
#define SPK_APART static
#define SPK_UNROLL
#define SPK_ALIGNED
#define SPK_WORD
#define SPK_HIDE(pointer) ((void)(pointer))
static inline unsigned SPK_LOWEST_BIT(unsigned bits) {
  unsigned bit = 0;
  while ((bits >> bit & 1u) == 0) bit++;
  return bit;
}
#endif

#endif  // SPK_COMPILER_H_
