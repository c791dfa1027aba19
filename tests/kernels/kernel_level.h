// SPDX-License-Identifier: Apache-2.0
// Lets a test choose among the levels of x86-64 that networks are compiled for, in the CPU's stead.
#ifndef KERNEL_LEVEL_H_
#define KERNEL_LEVEL_H_

// Whether a step may use `level`, "x86-64-v3" or "x86-64-v4".
int kernel_cpu_is(const char *level);

#define SPK_CPU_IS(level) kernel_cpu_is(level)

#endif  // KERNEL_LEVEL_H_
