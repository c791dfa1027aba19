// SPDX-License-Identifier: Apache-2.0
// The innermost loop of gathering for a Cortex-M7 with its floating-point unit: sixteen sums stay
// in s0 to s15, sixteen weights come with one load of many registers. Same bits.
#ifndef SPK_SUM_F32_CORTEX_M7_H_
#define SPK_SUM_F32_CORTEX_M7_H_

#include "spk_kernel.h"
#include "spk_sum_tile.h"

// Loads the next entry of a list.
//@ only wide
#define SPK_NEXT_ROW_ "ldr %[row], [%[at]], #4\n\t"
//@ only narrow
#define SPK_NEXT_ROW_ "ldrh %[row], [%[at]], #2\n\t"

#define SPK_ADD_4_(a, b, c, d, e, f, g, h)                                \
  "vadd.f32 s" #a ", s" #a ", s" #e "\n\tvadd.f32 s" #b ", s" #b ", s" #f \
  "\n\t"                                                                  \
  "vadd.f32 s" #c ", s" #c ", s" #g "\n\tvadd.f32 s" #d ", s" #d ", s" #h "\n\t"
#define SPK_ADD_4_ROWS_ SPK_ADD_4_(0, 1, 2, 3, 16, 17, 18, 19)
#define SPK_ADD_8_ROWS_ SPK_ADD_4_ROWS_ SPK_ADD_4_(4, 5, 6, 7, 20, 21, 22, 23)
#define SPK_ADD_16_ROWS_                                   \
  SPK_ADD_8_ROWS_ SPK_ADD_4_(8, 9, 10, 11, 24, 25, 26, 27) \
      SPK_ADD_4_(12, 13, 14, 15, 28, 29, 30, 31)

//@ template NAME            SUMS      WEIGHTS    ADDS
//@          spk_sum_16_f32  "s0-s15"  "s16-s31"  SPK_ADD_16_ROWS_
//@          spk_sum_8_f32   "s0-s7"   "s16-s23"  SPK_ADD_8_ROWS_
//@          spk_sum_4_f32   "s0-s3"   "s16-s19"  SPK_ADD_4_ROWS_
// sums[c] = bias[c] + weight[list entry * bytes / 4 + c] over the entries in [at, end), for as many
// channels as the name says.
SPK_APART void NAME(const float *weight, size_t bytes, const spk_index *at, const spk_index *end,
                    const float *bias, float *sums) {
  uint32_t row;
  __asm__ volatile(
      "vldmia %[bias], {" SUMS
      "}\n\t"
      "cmp %[at], %[end]\n\t"
      "beq 2f\n"
      "1:\n\t" SPK_NEXT_ROW_
      "mla %[row], %[row], %[bytes], %[weight]\n\t"
      "vldmia %[row], {" WEIGHTS "}\n\t" ADDS
      "cmp %[at], %[end]\n\t"
      "bne 1b\n"
      "2:\n\t"
      "vstmia %[sums], {" SUMS "}"
      : [at] "+&r"(at), [row] "=&r"(row)
      : [end] "r"(end), [bytes] "r"(bytes), [weight] "r"(weight), [bias] "r"(bias), [sums] "r"(sums)
      : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11",
        "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24",
        "s25", "s26", "s27", "s28", "s29", "s30", "s31");
}
//@ end

// sums[c] = bias[c] + the rows at - shift for the entries in [at, end), c in [0, channels).
SPK_KERNEL void spk_sum_f32(const spk_sum_tile *tile, const spk_index *at, const spk_index *end,
                            uint32_t shift, float *sums) {
  const uint32_t channels = tile->channels;
  const size_t bytes = channels * sizeof(float);
  // Row `shift`, the first that an entry can name, is the table's first.
  const float *const weight = (const float *)((uintptr_t)tile->weight - shift * bytes);
  uint32_t c = 0;
  for (; c + 16 <= channels; c += 16) {
    spk_sum_16_f32(weight + c, bytes, at, end, tile->bias + c, sums + c);
  }
  if (channels & 8) {
    spk_sum_8_f32(weight + c, bytes, at, end, tile->bias + c, sums + c);
    c += 8;
  }
  if (channels & 4) spk_sum_4_f32(weight + c, bytes, at, end, tile->bias + c, sums + c);
}

SPK_KERNEL void spk_sum_tile_f32(const spk_sum_tile *tile) {
  for (int k = 0; k < 2; k++) {
    const spk_sum_column *column = &tile->columns[k];
    if (k == 1 && tile->sums[1][0] == tile->sums[0][0]) break;
    spk_sum_f32(tile, column->upper, column->upper_end, tile->shift, tile->sums[k][0]);
    if (tile->sums[k][1] == tile->sums[k][0]) continue;
    spk_sum_f32(tile, column->lower, column->lower_end, tile->shift + tile->step, tile->sums[k][1]);
  }
}

#endif  // SPK_SUM_F32_CORTEX_M7_H_
