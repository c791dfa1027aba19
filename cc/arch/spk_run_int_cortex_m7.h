// SPDX-License-Identifier: Apache-2.0
// The innermost loop of scattering with int8 weights for a Cortex-M7: sixteen sums in int16, or
// eight in int32, at a time, by loads and stores of many registers and SXTAB16 or SXTAB, which
// compilers do not make of the plain loop. Where the outputs are a
// multiple of four, weights stand in the order 0, 2, 1, 3 (SXTAB16 adds bytes 0 and 2 of a word to
// two neighbouring sums, and with ROR #8 bytes 1 and 3), and sums start a word.
#ifndef SPK_RUN_INT_CORTEX_M7_H_
#define SPK_RUN_INT_CORTEX_M7_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spk_kernel.h"

enum { SPK_RUN_BLOCKS = 10 };  // that one row has at most: it jumps into a chain of so many

// clang-format off: by hand, as it leaves assembly alone.

// Four sums in int16, in two registers, add the four weights in one.
#define SPK_ADD_4_I16_(sum, sum2, weight)                      \
  "sxtab16 " sum ", " sum ", " weight "\n\t"                   \
  "sxtab16 " sum2 ", " sum2 ", " weight ", ror #8\n\t"
#define SPK_BLOCK_I16_                                         \
  "ldmia.w r1!, {r2-r5}\n\t"                                   \
  "ldmia.w r0, {r6-r12, lr}\n\t"                               \
  SPK_ADD_4_I16_("r6", "r7", "r2")                             \
  SPK_ADD_4_I16_("r8", "r9", "r3")                             \
  SPK_ADD_4_I16_("r10", "r11", "r4")                           \
  SPK_ADD_4_I16_("r12", "lr", "r5")                            \
  "stmia.w r0!, {r6-r12, lr}\n\t"
// The rest of a row, its length in the fifth word of the stack: eight, four, both or none.
#define SPK_REST_I16_                                          \
  "ldr r2, [sp, #16]\n\t"                                      \
  "lsls r2, r2, #29\n\t"                                       \
  "bcc 4f\n\t"                                                 \
  "ldmia r1!, {r2-r3}\n\t"                                     \
  "ldmia.w r0, {r6-r9}\n\t"                                    \
  SPK_ADD_4_I16_("r6", "r7", "r2")                             \
  SPK_ADD_4_I16_("r8", "r9", "r3")                             \
  "stmia.w r0!, {r6-r9}\n"                                     \
  "4:\n\t"                                                     \
  "bpl 5f\n\t"                                                 \
  "ldr r2, [r1], #4\n\t"                                       \
  "ldrd r6, r7, [r0]\n\t"                                      \
  SPK_ADD_4_I16_("r6", "r7", "r2")                             \
  "strd r6, r7, [r0], #8\n"                                    \
  "5:\n\t"

// The same in int32, in four registers.
#define SPK_ADD_4_I32_(sum, sum2, sum3, sum4, weight)          \
  "sxtab " sum ", " sum ", " weight "\n\t"                     \
  "sxtab " sum2 ", " sum2 ", " weight ", ror #16\n\t"          \
  "sxtab " sum3 ", " sum3 ", " weight ", ror #8\n\t"           \
  "sxtab " sum4 ", " sum4 ", " weight ", ror #24\n\t"
#define SPK_BLOCK_I32_                                         \
  "ldmia.w r1!, {r2-r3}\n\t"                                   \
  "ldmia.w r0, {r4-r11}\n\t"                                   \
  SPK_ADD_4_I32_("r4", "r5", "r6", "r7", "r2")                 \
  SPK_ADD_4_I32_("r8", "r9", "r10", "r11", "r3")               \
  "stmia.w r0!, {r4-r11}\n\t"
#define SPK_REST_I32_                                          \
  "ldr r2, [sp, #16]\n\t"                                      \
  "lsls r2, r2, #29\n\t"                                       \
  "bpl 5f\n\t"                                                 \
  "ldr r2, [r1], #4\n\t"                                       \
  "ldmia.w r0, {r4-r7}\n\t"                                    \
  SPK_ADD_4_I32_("r4", "r5", "r6", "r7", "r2")                 \
  "stmia.w r0!, {r4-r7}\n"                                     \
  "5:\n\t"

//@ template NAME                  TYPE     BITS  BLOCK           REST
//@          spk_run_sixteens_i16  int16_t  4     SPK_BLOCK_I16_  ""
//@          spk_run_fours_i16     int16_t  4     SPK_BLOCK_I16_  SPK_REST_I16_
//@          spk_run_eights_i32    int32_t  3     SPK_BLOCK_I32_  ""
//@          spk_run_fours_i32     int32_t  3     SPK_BLOCK_I32_  SPK_REST_I32_
// run_add_rows (as in spk_run_int_generic.h) for one a value and rows of at most SPK_RUN_BLOCKS
// blocks of 2^`bits` weights, which are one block's instructions, and of what `rest` adds. A block
// is eleven instructions of four bytes. The loop needs every register, so the steps from row to row
// are on the stack.
SPK_APART void NAME(TYPE *out, const int8_t *weight, size_t length, uint32_t rows,
                    size_t out_step, size_t weight_step) {
  register TYPE *r0 __asm__("r0") = out;
  register const int8_t *r1 __asm__("r1") = weight;
  register size_t r2 __asm__("r2") = (out_step - length) * sizeof(TYPE);
  register size_t r3 __asm__("r3") = weight_step - length;
  register const int8_t *r4 __asm__("r4") = weight + rows * weight_step;
  register size_t r5 __asm__("r5") = (length >> (BITS)) * 44u;
  register size_t r6 __asm__("r6") = length;
  __asm__ volatile(
      "adr r7, 3f + 1\n\t"
      "sub r5, r7, r5\n\t"
      "push {r2-r6}\n\t"
      "bx r5\n\t"
      ".balign 4\n\t"
      ".rept 10\n\t"
      BLOCK
      ".endr\n"
      "3:\n\t"
      REST
      "ldmia.w sp, {r2-r5}\n\t"
      "add r0, r0, r2\n\t"
      "add r1, r1, r3\n\t"
      "cmp r1, r4\n\t"
      "it ne\n\t"
      "bxne r5\n\t"
      "add sp, #20"
      : "+&r"(r0), "+&r"(r1), "+&r"(r2), "+&r"(r3), "+&r"(r4), "+&r"(r5), "+&r"(r6)
      :
      : "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
}
//@ end

// clang-format on

// The words [out, end) = 0, eight of them at a time as long as there are.
SPK_APART void spk_run_zero_words(uint32_t *out, const uint32_t *end) {
  const uint32_t *const eights = out + (end - out) / 8 * 8;
  __asm__ volatile(
      "movs r2, #0\n\t"
      "movs r3, #0\n\t"
      "movs r4, #0\n\t"
      "movs r5, #0\n\t"
      "mov r6, r2\n\t"
      "mov r8, r2\n\t"
      "mov r9, r2\n\t"
      "mov r12, r2\n\t"
      "b 2f\n"
      "1:\n\t"
      "stmia %[out]!, {r2-r6, r8, r9, r12}\n"
      "2:\n\t"
      "cmp %[out], %[eights]\n\t"
      "bne 1b"
      : [out] "+&r"(out)
      : [eights] "r"(eights)
      : "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r12", "cc", "memory");
  while (out != end) *out++ = 0;
}

//@ template NUM  TYPE     BITS  WHOLE                 FOURS
//@          i16  int16_t  4     spk_run_sixteens_i16  spk_run_fours_i16
//@          i32  int32_t  3     spk_run_eights_i32    spk_run_fours_i32
// The functions of spk_run_int_generic.h for sums of `type`, in blocks of 2^`bits` weights; tables
// whose outputs are whole blocks are for `whole`, other ones in fours for `fours`. What counts two
// or three is added so many times.
SPK_KERNEL void spk_run_add_once_NUM(TYPE *out, size_t out_step, const int8_t *weight,
                                     size_t weight_step, size_t length, uint32_t rows,
                                     uint32_t outputs) {
  const size_t most = (size_t)SPK_RUN_BLOCKS << (BITS);
  size_t done = 0;
  do {
    /* All at once where that is known: no row is longer than the step to the next weights. */
    const size_t part = weight_step <= most || length - done <= most ? length - done : most;
    if (outputs % (1u << (BITS)) == 0) {
      WHOLE(out + done, weight + done, part, rows, out_step, weight_step);
    } else {
      FOURS(out + done, weight + done, part, rows, out_step, weight_step);
    }
    done += part;
  } while (weight_step > most && done != length);
}
SPK_APART void spk_run_add_more_NUM(TYPE *out, size_t out_step, const int8_t *weight,
                                    size_t weight_step, size_t length, uint32_t rows,
                                    uint32_t outputs, int32_t value) {
  if (value <= 3) {
    for (; value > 0; value--) {
      spk_run_add_once_NUM(out, out_step, weight, weight_step, length, rows, outputs);
    }
    return;
  }
  for (; rows != 0; rows--, out += out_step, weight += weight_step) {
    for (size_t i = 0; i < length; i += 4) {
      out[i] = (TYPE)(out[i] + value * weight[i]);
      out[i + 1] = (TYPE)(out[i + 1] + value * weight[i + 2]);
      out[i + 2] = (TYPE)(out[i + 2] + value * weight[i + 1]);
      out[i + 3] = (TYPE)(out[i + 3] + value * weight[i + 3]);
    }
  }
}
SPK_KERNEL void spk_run_add_rows_NUM(TYPE *out, size_t out_step, const int8_t *weight,
                                     size_t weight_step, size_t length, uint32_t rows,
                                     uint32_t outputs, int32_t value) {
  if (outputs % 4 != 0) {
    for (; rows != 0; rows--, out += out_step, weight += weight_step) {
      for (size_t i = 0; i < length; i++) out[i] = (TYPE)(out[i] + value * weight[i]);
    }
  } else if (rows != 0 && value == 1) {
    spk_run_add_once_NUM(out, out_step, weight, weight_step, length, rows, outputs);
  } else if (rows != 0) {
    spk_run_add_more_NUM(out, out_step, weight, weight_step, length, rows, outputs, value);
  }
}
SPK_KERNEL void spk_run_add_NUM(TYPE *out, const int8_t *weight, size_t length, int32_t value) {
  spk_run_add_rows_NUM(out, 0, weight, length, length, 1, (uint32_t)length, value);
}
SPK_KERNEL void spk_run_add_many_NUM(TYPE *out, size_t out_step, const int8_t *const *weights,
                                     uint32_t many, size_t weight_step, size_t length,
                                     uint32_t rows, uint32_t outputs) {
  for (uint32_t i = 0; i < many; i++) {
    spk_run_add_rows_NUM(out, out_step, weights[i], weight_step, length, rows, outputs, 1);
  }
}
SPK_KERNEL void spk_run_zero_NUM(TYPE *out, size_t length) {
  uint32_t *const words = (uint32_t *)(void *)out;
  spk_run_zero_words(words, words + length * sizeof(TYPE) / 4);
  if (length * sizeof(TYPE) % 4 != 0) out[length - 1] = 0;
}
//@ end

#endif  // SPK_RUN_INT_CORTEX_M7_H_
