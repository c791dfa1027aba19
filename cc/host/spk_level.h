// SPDX-License-Identifier: Apache-2.0
// One portable build for every x86-64: what matters is compiled once for each level of the
// architecture, in a file of its own, FILE_v3.c and FILE_v4.c, and the CPU at hand chooses. This
// takes -DSPK_USE_LEVELS with GCC on Linux; otherwise those files are empty. The bits are the same.
#ifndef SPK_LEVEL_H_
#define SPK_LEVEL_H_

// Clang has no pragma that sets the target of a whole file.
#if defined(SPK_USE_LEVELS) && defined(__x86_64__) && defined(__gnu_linux__) && \
    defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define SPK_HAS_LEVELS
#endif

// Whether this CPU is of a level. Tests have their own, to try all.
#if !defined(SPK_CPU_IS)
#define SPK_CPU_IS(level) __builtin_cpu_supports(level)
#endif

#endif  // SPK_LEVEL_H_
