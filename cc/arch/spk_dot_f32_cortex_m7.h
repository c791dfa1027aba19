// SPDX-License-Identifier: Apache-2.0
// The innermost loop of dense layers for a Cortex-M7 with its floating-point unit: the sums of two
// outputs, eight channels each, stay in registers, and eight weights are loaded at a time, which
// compilers do not make of the plain loop. Same bits: VMLA rounds twice; it is VFMA that rounds
// once.
#ifndef SPK_DOT_F32_CORTEX_M7_H_
#define SPK_DOT_F32_CORTEX_M7_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_kernel.h"
#include "spk_patch.h"

enum { SPK_DOT_POSITIONS = 2 };  // outputs summed side by side

// Sums of the first output are in s0 to s7, of the second in s8 to s15; weights in s16 to s23;
// values in s24 to s31. One value `v` of an output, times its weights:
#define SPK_DOT_MLA_(sum, weight, v) "vmla.f32 s" #sum ", s" #weight ", " v "\n\t"
#define SPK_DOT_FIRST_1_(v) SPK_DOT_MLA_(0, 16, v)
#define SPK_DOT_FIRST_2_(v) SPK_DOT_FIRST_1_(v) SPK_DOT_MLA_(1, 17, v)
#define SPK_DOT_FIRST_4_(v) SPK_DOT_FIRST_2_(v) SPK_DOT_MLA_(2, 18, v) SPK_DOT_MLA_(3, 19, v)
#define SPK_DOT_FIRST_8_(v) \
  SPK_DOT_FIRST_4_(v)       \
  SPK_DOT_MLA_(4, 20, v) SPK_DOT_MLA_(5, 21, v) SPK_DOT_MLA_(6, 22, v) SPK_DOT_MLA_(7, 23, v)
#define SPK_DOT_SECOND_1_(v) SPK_DOT_MLA_(8, 16, v)
#define SPK_DOT_SECOND_2_(v) SPK_DOT_SECOND_1_(v) SPK_DOT_MLA_(9, 17, v)
#define SPK_DOT_SECOND_4_(v) SPK_DOT_SECOND_2_(v) SPK_DOT_MLA_(10, 18, v) SPK_DOT_MLA_(11, 19, v)
#define SPK_DOT_SECOND_8_(v) \
  SPK_DOT_SECOND_4_(v)       \
  SPK_DOT_MLA_(12, 20, v) SPK_DOT_MLA_(13, 21, v) SPK_DOT_MLA_(14, 22, v) SPK_DOT_MLA_(15, 23, v)

#define SPK_DOT_CLOBBERS_                                                                        \
  "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14", \
      "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", \
      "s28", "s29", "s30", "s31", "cc", "memory"

// clang-format off: by hand, as it leaves assembly alone.

//@ template NAME             CHANNELS  SUMS     WEIGHTS    MLA
//@          spk_dot_1x1_f32  1         "s0"     "s16"      SPK_DOT_FIRST_1_
//@          spk_dot_1x2_f32  2         "s0-s1"  "s16-s17"  SPK_DOT_FIRST_2_
//@          spk_dot_1x4_f32  4         "s0-s3"  "s16-s19"  SPK_DOT_FIRST_4_
//@          spk_dot_1x8_f32  8         "s0-s7"  "s16-s23"  SPK_DOT_FIRST_8_
// spk_dot_f32 for one output, eight values at a time, in registers for its sums and a value's
// weights; `mla` sums one value. What changes is written before everything is read ("&"): else an
// input of the same value may share its register.
SPK_KERNEL void NAME(const spk_patch *patch, float *restrict out, const float *restrict in,
                     const float *restrict weight) {
  const size_t in_skip = (patch->in_step - patch->length) * sizeof(float);
  const size_t weight_skip =
      (patch->weight_step - (size_t)patch->length * (CHANNELS)) * sizeof(float);
  uint32_t rows = patch->rows;
  uint32_t left;
  __asm__ volatile(
      "vldmia %[out], {" SUMS "}\n"
      "1:\n\t"
      "lsrs %[left], %[length], #3\n\t"
      "beq 3f\n"
      "2:\n\t"
      "vldmia %[in]!, {s24-s31}\n\t"
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" MLA("s24")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" MLA("s25")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" MLA("s26")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" MLA("s27")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" MLA("s28")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" MLA("s29")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" MLA("s30")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" MLA("s31")
      "subs %[left], %[left], #1\n\t"
      "bne 2b\n"
      "3:\n\t"
      "ands %[left], %[length], #7\n\t"
      "beq 5f\n"
      "4:\n\t"
      "vldmia %[in]!, {s24}\n\t"
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" MLA("s24")
      "subs %[left], %[left], #1\n\t"
      "bne 4b\n"
      "5:\n\t"
      "add %[in], %[in], %[in_skip]\n\t"
      "add %[weight], %[weight], %[weight_skip]\n\t"
      "subs %[rows], %[rows], #1\n\t"
      "bne 1b\n\t"
      "vstmia %[out], {" SUMS "}"
      : [in] "+&r"(in), [weight] "+&r"(weight), [rows] "+&r"(rows), [left] "=&r"(left)
      : [out] "r"(out), [length] "r"(patch->length), [in_skip] "r"(in_skip),
        [weight_skip] "r"(weight_skip)
      : SPK_DOT_CLOBBERS_);
}
//@ end

//@ template NAME             CHANNELS  SUMS     OTHERS    WEIGHTS    FIRST             SECOND
//@          spk_dot_2x1_f32  1         "s0"     "s8"      "s16"      SPK_DOT_FIRST_1_  SPK_DOT_SECOND_1_
//@          spk_dot_2x2_f32  2         "s0-s1"  "s8-s9"   "s16-s17"  SPK_DOT_FIRST_2_  SPK_DOT_SECOND_2_
//@          spk_dot_2x4_f32  4         "s0-s3"  "s8-s11"  "s16-s19"  SPK_DOT_FIRST_4_  SPK_DOT_SECOND_4_
//@          spk_dot_2x8_f32  8         "s0-s7"  "s8-s15"  "s16-s23"  SPK_DOT_FIRST_8_  SPK_DOT_SECOND_8_
// spk_dot_f32 for two outputs, four values of each at a time; the arguments are as above.
SPK_KERNEL void NAME(const spk_patch *patch, float *restrict out, size_t out_step,
                     const float *restrict in, size_t in_step, const float *restrict weight) {
  const size_t in_skip = (patch->in_step - patch->length) * sizeof(float);
  const size_t weight_skip =
      (patch->weight_step - (size_t)patch->length * (CHANNELS)) * sizeof(float);
  const float *in2 = in + in_step;
  uint32_t rows = patch->rows;
  uint32_t left;
  __asm__ volatile(
      "vldmia %[out], {" SUMS "}\n\t"
      "vldmia %[out2], {" OTHERS "}\n"
      "1:\n\t"
      "lsrs %[left], %[length], #2\n\t"
      "beq 3f\n"
      "2:\n\t"
      "vldmia %[in]!, {s24-s27}\n\t"
      "vldmia %[in2]!, {s28-s31}\n\t"
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" FIRST("s24") SECOND("s28")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" FIRST("s25") SECOND("s29")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" FIRST("s26") SECOND("s30")
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" FIRST("s27") SECOND("s31")
      "subs %[left], %[left], #1\n\t"
      "bne 2b\n"
      "3:\n\t"
      "ands %[left], %[length], #3\n\t"
      "beq 5f\n"
      "4:\n\t"
      "vldmia %[in]!, {s24}\n\t"
      "vldmia %[in2]!, {s28}\n\t"
      "vldmia %[weight]!, {" WEIGHTS "}\n\t" FIRST("s24") SECOND("s28")
      "subs %[left], %[left], #1\n\t"
      "bne 4b\n"
      "5:\n\t"
      "add %[in], %[in], %[in_skip]\n\t"
      "add %[in2], %[in2], %[in_skip]\n\t"
      "add %[weight], %[weight], %[weight_skip]\n\t"
      "subs %[rows], %[rows], #1\n\t"
      "bne 1b\n\t"
      "vstmia %[out], {" SUMS "}\n\t"
      "vstmia %[out2], {" OTHERS "}"
      : [in] "+&r"(in), [in2] "+&r"(in2), [weight] "+&r"(weight), [rows] "+&r"(rows),
        [left] "=&r"(left)
      : [out] "r"(out), [out2] "r"(out + out_step), [length] "r"(patch->length),
        [in_skip] "r"(in_skip), [weight_skip] "r"(weight_skip)
      : SPK_DOT_CLOBBERS_);
}
//@ end

// clang-format on

// For every p in [0, positions) and c in [0, channels), with rows r and values i rising,
//   out[p * out_step + c] += in[p * in_step + r * patch->in_step + i]
//                            * weight[r * patch->weight_step + i * channels + c]
// each product and each sum rounded. `positions` is a power of two up to SPK_DOT_POSITIONS,
// `channels` one up to SPK_DOT_CHANNELS; both are constants.
SPK_KERNEL void spk_dot_f32(const spk_patch *patch, float *restrict out, size_t out_step,
                            const float *restrict in, size_t in_step, const float *restrict weight,
                            uint32_t positions, uint32_t channels) {
  if (patch->rows == 0) return;
  switch (positions * SPK_DOT_CHANNELS + channels) {
    case SPK_DOT_CHANNELS + 1:
      spk_dot_1x1_f32(patch, out, in, weight);
      break;
    case SPK_DOT_CHANNELS + 2:
      spk_dot_1x2_f32(patch, out, in, weight);
      break;
    case SPK_DOT_CHANNELS + 4:
      spk_dot_1x4_f32(patch, out, in, weight);
      break;
    case 2 * SPK_DOT_CHANNELS:
      spk_dot_1x8_f32(patch, out, in, weight);
      break;
    case 2 * SPK_DOT_CHANNELS + 1:
      spk_dot_2x1_f32(patch, out, out_step, in, in_step, weight);
      break;
    case 2 * SPK_DOT_CHANNELS + 2:
      spk_dot_2x2_f32(patch, out, out_step, in, in_step, weight);
      break;
    case 2 * SPK_DOT_CHANNELS + 4:
      spk_dot_2x4_f32(patch, out, out_step, in, in_step, weight);
      break;
    default:
      spk_dot_2x8_f32(patch, out, out_step, in, in_step, weight);
      break;
  }
}

#endif  // SPK_DOT_F32_CORTEX_M7_H_
