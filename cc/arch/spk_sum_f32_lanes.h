// SPDX-License-Identifier: Apache-2.0
// The innermost loop of gathering in vectors. Sums stay in registers; the two columns take turns,
// since one sum alone would wait for its own additions; and an entry that both outputs of a column
// add is read once.
#ifndef SPK_SUM_F32_LANES_H_
#define SPK_SUM_F32_LANES_H_

#include "spk_kernel.h"
#include "spk_lanes.h"
#include "spk_sum_tile.h"

// sums[k] += the kth vector of a row of weights.
#define SPK_SUM_ROW_(sums, row) \
  for (int k = 0; k < count; k++) (sums)[k] += *(const vector *)((row) + k * width)

// What column `x` does with its next entry: the upper output adds it, both do, the lower one does.
#define SPK_SUM_UPPER_(x)                                            \
  do {                                                               \
    const float *const row = weight + (*at##x++ - shift) * channels; \
    SPK_SUM_ROW_(upper##x, row);                                     \
  } while (0)
#define SPK_SUM_BOTH_(x)                                             \
  do {                                                               \
    const float *const row = weight + (*at##x++ - shift) * channels; \
    SPK_SUM_ROW_(upper##x, row);                                     \
    SPK_SUM_ROW_(lower##x, row - step);                              \
  } while (0)
#define SPK_SUM_LOWER_(x)                                            \
  do {                                                               \
    const float *const row = weight + (*at##x++ - shift) * channels; \
    SPK_SUM_ROW_(lower##x, row - step);                              \
  } while (0)

// Lets both columns run up to their ends, in turns as long as both have entries.
#define SPK_SUM_TURNS_(ADD, end0, end1)    \
  do {                                     \
    while (at0 < (end0) && at1 < (end1)) { \
      ADD(0);                              \
      ADD(1);                              \
    }                                      \
    while (at0 < (end0)) ADD(0);           \
    while (at1 < (end1)) ADD(1);           \
  } while (0)

//@ template NAME                   VECTOR     COUNT
//@          spk_sum_two_lanes_f32  spk_lanes  2
//@          spk_sum_lanes_f32      spk_lanes  1
//@          spk_sum_8_f32          spk_f32x8  1
//@          spk_sum_4_f32          spk_f32x4  1
// Sums COUNT vectors, VECTOR each, from channel c on. Not inlined: a whole layer leaves these
// loops too few registers.
SPK_APART void NAME(const spk_sum_tile *tile, uint32_t c) {
  typedef VECTOR vector;
  enum { count = COUNT, width = sizeof(vector) / sizeof(float) };
  const size_t channels = tile->channels;
  const float *const weight = tile->weight + c;
  const uint32_t shift = tile->shift;
  const size_t step = tile->step * channels;
  const spk_sum_column x0 = tile->columns[0], x1 = tile->columns[1];
  const spk_index *at0 = x0.upper, *at1 = x1.upper;
  vector upper0[count], lower0[count], upper1[count], lower1[count];
  for (int k = 0; k < count; k++) {
    upper0[k] = *(const vector *)(tile->bias + c + k * width);
    lower0[k] = upper1[k] = lower1[k] = upper0[k];
  }
  SPK_SUM_TURNS_(SPK_SUM_UPPER_, x0.lower < x0.upper_end ? x0.lower : x0.upper_end,
                 x1.lower < x1.upper_end ? x1.lower : x1.upper_end);
  SPK_SUM_TURNS_(SPK_SUM_BOTH_, x0.upper_end, x1.upper_end);
  if (at0 < x0.lower) at0 = x0.lower;
  if (at1 < x1.lower) at1 = x1.lower;
  SPK_SUM_TURNS_(SPK_SUM_LOWER_, x0.lower_end, x1.lower_end);
  for (int k = 0; k < count; k++) *(vector *)(tile->sums[1][1] + c + k * width) = lower1[k];
  for (int k = 0; k < count; k++) *(vector *)(tile->sums[1][0] + c + k * width) = upper1[k];
  for (int k = 0; k < count; k++) *(vector *)(tile->sums[0][1] + c + k * width) = lower0[k];
  for (int k = 0; k < count; k++) *(vector *)(tile->sums[0][0] + c + k * width) = upper0[k];
}
//@ end

SPK_KERNEL void spk_sum_tile_f32(const spk_sum_tile *tile) {
  const uint32_t channels = tile->channels;
  uint32_t c = 0;
  for (; c + 2 * SPK_LANES <= channels; c += 2 * SPK_LANES) spk_sum_two_lanes_f32(tile, c);
  for (; c + SPK_LANES <= channels; c += SPK_LANES) spk_sum_lanes_f32(tile, c);
  for (; c + 8 <= channels; c += 8) spk_sum_8_f32(tile, c);
  for (; c + 4 <= channels; c += 4) spk_sum_4_f32(tile, c);
}

#endif  // SPK_SUM_F32_LANES_H_
