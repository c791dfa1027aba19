// SPDX-License-Identifier: Apache-2.0
// One portable build for every x86-64: what runs kernels is compiled once for each level of the
// architecture, and the CPU at hand chooses. FILE_v3.c and FILE_v4.c do it, by including FILE.c
// after spk_level_v3.h or spk_level_v4.h. This takes all three files and -DSPK_USE_LEVELS, with GCC
// on Linux; otherwise FILE.c is complete and the other two are empty. The bits are the same.
#ifndef SPK_LEVEL_H_
#define SPK_LEVEL_H_

// Clang has no pragma that sets the target of a whole file.
#if defined(SPK_USE_LEVELS) && defined(__x86_64__) && defined(__gnu_linux__) && \
    defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define SPK_HAS_LEVELS
#endif

#if defined(SPK_LEVEL_V4)
#define SPK_AT_LEVEL(function) function##_v4
#elif defined(SPK_LEVEL_V3)
#define SPK_AT_LEVEL(function) function##_v3
#else
#define SPK_LEVEL_BASE  // FILE.c itself: what the compiler's own flags say
#define SPK_AT_LEVEL(function) function##_base
#endif

// Whether this CPU is of a level. Tests have their own, to try all.
#if !defined(SPK_CPU_IS)
#define SPK_CPU_IS(level) __builtin_cpu_supports(level)
#endif

// SPK_LEVELS(function, (parameters)) declares what returns nothing and is compiled at every level,
// SPK_BEST_LEVEL(function, (arguments)) calls the one for this CPU.
#if defined(SPK_HAS_LEVELS)
#define SPK_LEVELS(function, parameters) \
  void function##_base parameters;       \
  void function##_v3 parameters;         \
  void function##_v4 parameters
#define SPK_BEST_LEVEL(function, arguments) \
  do {                                      \
    if (SPK_CPU_IS("x86-64-v4")) {          \
      function##_v4 arguments;              \
    } else if (SPK_CPU_IS("x86-64-v3")) {   \
      function##_v3 arguments;              \
    } else {                                \
      function##_base arguments;            \
    }                                       \
  } while (0)
#else
#define SPK_LEVELS(function, parameters) void function##_base parameters
#define SPK_BEST_LEVEL(function, arguments) function##_base arguments
#endif

#endif  // SPK_LEVEL_H_
