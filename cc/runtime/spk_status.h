// SPDX-License-Identifier: Apache-2.0
// What every fallible spikec function returns.
#ifndef SPK_STATUS_H_
#define SPK_STATUS_H_

// A function that returns anything but SPK_OK has written nothing.
typedef enum spk_status {
  SPK_OK = 0,
  SPK_NULL_ARGUMENT = 1,       // a pointer that must point somewhere is NULL
  SPK_TOO_MANY_INPUTS = 2,     // more active inputs than the network has inputs
  SPK_INDEX_OUT_OF_RANGE = 3,  // an input index or a pixel outside the network's input
  SPK_NOT_ASCENDING = 4,       // active inputs must be sorted by index, each at most once
  SPK_NOT_FINITE = 5,          // an input value is NaN or infinite
  SPK_TIME_RUNS_BACK = 6,      // an event is older than the window that is being filled
  SPK_WINDOW_OVER = 7          // an event is newer than the window: take the window first
} spk_status;

#if defined(__GNUC__)
#define SPK_MUST_USE __attribute__((warn_unused_result))
// Kernels are always inlined, so that the compiler specialises each for its constant descriptor.
#define SPK_KERNEL static inline __attribute__((always_inline))
#else
#define SPK_MUST_USE
#define SPK_KERNEL static inline
#endif

// Functions that run kernels are compiled for several x86-64 levels where the loader can choose
// among them, so that one portable build uses the vectors it finds. The bits are the same.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    __GNUC__ >= 12
#define SPK_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define SPK_CLONES
#endif

#endif  // SPK_STATUS_H_
