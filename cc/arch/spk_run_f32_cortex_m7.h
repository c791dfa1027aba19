// SPDX-License-Identifier: Apache-2.0
// The innermost loop for a Cortex-M7 with its floating-point unit: eight values at a time, by loads
// and stores of many registers, which compilers do not make of the plain loop. Same bits.
#ifndef SPK_RUN_F32_CORTEX_M7_H_
#define SPK_RUN_F32_CORTEX_M7_H_

#include <stddef.h>
#include <string.h>

#include "spk_kernel.h"

#define SPK_RUN_REGISTERS_                                                                       \
  "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14", \
      "s15", "memory"

// out[i] += weight[i] for i in [0, length).
SPK_KERNEL void spk_run_add_unit_f32(float *restrict out, const float *restrict weight,
                                     size_t length) {
  const float *const end = weight + length / 8 * 8;
  while (weight != end) {
    __asm__ volatile(
        "vldmia %[weight]!, {s0-s7}\n\t"
        "vldmia %[out], {s8-s15}\n\t"
        "vadd.f32 s8, s8, s0\n\t"
        "vadd.f32 s9, s9, s1\n\t"
        "vadd.f32 s10, s10, s2\n\t"
        "vadd.f32 s11, s11, s3\n\t"
        "vadd.f32 s12, s12, s4\n\t"
        "vadd.f32 s13, s13, s5\n\t"
        "vadd.f32 s14, s14, s6\n\t"
        "vadd.f32 s15, s15, s7\n\t"
        "vstmia %[out]!, {s8-s15}"
        : [out] "+r"(out), [weight] "+r"(weight)
        :
        : SPK_RUN_REGISTERS_);
  }
  if (length & 4) {
    __asm__ volatile(
        "vldmia %[weight]!, {s0-s3}\n\t"
        "vldmia %[out], {s8-s11}\n\t"
        "vadd.f32 s8, s8, s0\n\t"
        "vadd.f32 s9, s9, s1\n\t"
        "vadd.f32 s10, s10, s2\n\t"
        "vadd.f32 s11, s11, s3\n\t"
        "vstmia %[out]!, {s8-s11}"
        : [out] "+r"(out), [weight] "+r"(weight)
        :
        : SPK_RUN_REGISTERS_);
  }
  for (size_t i = 0; i < (length & 3); i++) out[i] += weight[i];
}

// out[i] += value * weight[i] for i in [0, length): VMLA rounds twice; it is VFMA that rounds once.
SPK_KERNEL void spk_run_add_scaled_f32(float *restrict out, const float *restrict weight,
                                       size_t length, float value) {
  const float *const end = weight + length / 8 * 8;
  while (weight != end) {
    __asm__ volatile(
        "vldmia %[weight]!, {s0-s7}\n\t"
        "vldmia %[out], {s8-s15}\n\t"
        "vmla.f32 s8, s0, %[value]\n\t"
        "vmla.f32 s9, s1, %[value]\n\t"
        "vmla.f32 s10, s2, %[value]\n\t"
        "vmla.f32 s11, s3, %[value]\n\t"
        "vmla.f32 s12, s4, %[value]\n\t"
        "vmla.f32 s13, s5, %[value]\n\t"
        "vmla.f32 s14, s6, %[value]\n\t"
        "vmla.f32 s15, s7, %[value]\n\t"
        "vstmia %[out]!, {s8-s15}"
        : [out] "+r"(out), [weight] "+r"(weight)
        : [value] "t"(value)
        : SPK_RUN_REGISTERS_);
  }
  if (length & 4) {
    __asm__ volatile(
        "vldmia %[weight]!, {s0-s3}\n\t"
        "vldmia %[out], {s8-s11}\n\t"
        "vmla.f32 s8, s0, %[value]\n\t"
        "vmla.f32 s9, s1, %[value]\n\t"
        "vmla.f32 s10, s2, %[value]\n\t"
        "vmla.f32 s11, s3, %[value]\n\t"
        "vstmia %[out]!, {s8-s11}"
        : [out] "+r"(out), [weight] "+r"(weight)
        : [value] "t"(value)
        : SPK_RUN_REGISTERS_);
  }
  for (size_t i = 0; i < (length & 3); i++) out[i] += value * weight[i];
}

// out[i] += value * weight[i] for i in [0, length), each product and each sum rounded.
SPK_KERNEL void spk_run_add_f32(float *restrict out, const float *restrict weight, size_t length,
                                float value) {
  if (__builtin_constant_p(value) && value == 1.0f) {
    spk_run_add_unit_f32(out, weight, length);
  } else {
    spk_run_add_scaled_f32(out, weight, length, value);
  }
}

// out[i * length + c] = row[c] for i in [0, times) and c in [0, length). Sixteen rows are whole
// sixteens, which then repeat.
SPK_KERNEL void spk_run_repeat_f32(float *restrict out, const float *restrict row, size_t length,
                                   size_t times) {
  const size_t few = times < 16 ? times : 16;
  for (size_t i = 0; i < few; i++) memcpy(out + i * length, row, length * sizeof(float));
  const float *from = out;
  float *to = out + few * length;
  const size_t missing = (times - few) * length;
  const float *const end = from + missing / 16 * 16;
  while (from != end) {
    __asm__ volatile(
        "vldmia %[from]!, {s0-s15}\n\t"
        "vstmia %[to]!, {s0-s15}"
        : [from] "+r"(from), [to] "+r"(to)
        :
        : SPK_RUN_REGISTERS_);
  }
  for (size_t i = 0; i < missing % 16; i++) to[i] = from[i];
}

#endif  // SPK_RUN_F32_CORTEX_M7_H_
