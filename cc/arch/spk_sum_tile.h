// SPDX-License-Identifier: Apache-2.0
// What a tile of two by two outputs of a gathering layer adds up.
#ifndef SPK_SUM_TILE_H_
#define SPK_SUM_TILE_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_spikes.h"

// One column of a tile. Its upper output adds the rows of weights at - shift for the entries `at`
// in [upper, upper_end), its lower one the rows at - shift - step for those in [lower, lower_end);
// lower >= upper and lower_end >= upper_end.
typedef struct spk_sum_column {
  const spk_index *upper;
  const spk_index *upper_end;
  const spk_index *lower;
  const spk_index *lower_end;
} spk_sum_column;

typedef struct spk_sum_tile {
  const float *weight;  // [rows][channels]
  const float *bias;    // [channels], where every sum starts
  uint32_t channels;    // a multiple of 4
  uint32_t shift;
  uint32_t step;
  spk_sum_column columns[2];
  // Where the sums go: [column][upper, lower]. Where an output is not there, its entries are none
  // and its place is that of another one, which is written after it: the upper ones after the lower
  // ones, the first column after the second.
  float *sums[2][2];
} spk_sum_tile;

#endif  // SPK_SUM_TILE_H_
