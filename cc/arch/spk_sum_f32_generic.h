// SPDX-License-Identifier: Apache-2.0
// The innermost loop of gathering in plain C, four channels at a time.
#ifndef SPK_SUM_F32_GENERIC_H_
#define SPK_SUM_F32_GENERIC_H_

#include "spk_kernel.h"
#include "spk_sum_tile.h"

// sums[c] = bias[c] + the rows at - shift for the entries in [at, end), c in [0, channels).
SPK_KERNEL void spk_sum_f32(const spk_sum_tile *tile, const spk_index *at, const spk_index *end,
                            uint32_t shift, float *restrict sums) {
  for (uint32_t c = 0; c < tile->channels; c += 4) {
    float s0 = tile->bias[c], s1 = tile->bias[c + 1];
    float s2 = tile->bias[c + 2], s3 = tile->bias[c + 3];
    for (const spk_index *i = at; i < end; i++) {
      const float *row = tile->weight + (size_t)(*i - shift) * tile->channels + c;
      s0 += row[0];
      s1 += row[1];
      s2 += row[2];
      s3 += row[3];
    }
    sums[c] = s0;
    sums[c + 1] = s1;
    sums[c + 2] = s2;
    sums[c + 3] = s3;
  }
}

SPK_KERNEL void spk_sum_tile_f32(const spk_sum_tile *tile) {
  for (int k = 1; k >= 0; k--) {
    const spk_sum_column *column = &tile->columns[k];
    spk_sum_f32(tile, column->lower, column->lower_end, tile->shift + tile->step, tile->sums[k][1]);
    spk_sum_f32(tile, column->upper, column->upper_end, tile->shift, tile->sums[k][0]);
  }
}

#endif  // SPK_SUM_F32_GENERIC_H_
