// SPDX-License-Identifier: Apache-2.0
// Dense 2-D convolution in float32: every output sums over its whole receptive field, zeros
// included, at a cost that does not depend on what fires. A fully connected layer is a convolution
// of one position.
#ifndef SPK_DENSE_H_
#define SPK_DENSE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_opaque.h"
#include "spk_patch.h"
#include "spk_spikes.h"

// The part of one output row's (or column's) receptive field that lies inside the input: `taps`
// inputs from `in` on, through the kernel taps from `tap` on.
typedef struct spk_field {
  uint16_t in;
  uint16_t tap;
  uint16_t taps;
} spk_field;

// Weights are stored group by group and, in a group, block by block of SPK_DOT_CHANNELS output
// channels, the last ones of 4, 2 and 1: each [kernel_height][kernel_width][group_in][block].
typedef struct spk_dense_f32 {
  const float *weight;
  const float *bias;      // [out_channels]
  const spk_field *rows;  // [out_height]
  const spk_field *cols;  // [out_width]
  uint32_t in_width;
  uint32_t in_channels;
  uint32_t out_width;
  uint32_t out_height;
  uint32_t out_channels;
  uint32_t kernel_height;
  uint32_t kernel_width;
  uint32_t row_step;    // distance of two neighbouring taps' input rows: the dilation
  uint32_t col_step;    // distance of two neighbouring taps' input columns: the dilation
  uint32_t group_in;    // input channels of one group; in_channels when there are no groups
  uint32_t group_out;   // output channels of one group
  uint32_t whole_from;  // output columns whose receptive field is whole: from here
  uint32_t whole_to;    // to before here
  uint32_t whole_step;  // distance of two neighbouring such columns' inputs: the stride
} spk_dense_f32;

// Sums for `positions` neighbouring outputs, the first of which has the field `rows`, `cols`; the
// others' are as large. `in` is at the first channel of the group; `weight`, `bias` and `out` are
// at the first of the block.
SPK_KERNEL void spk_dense_tile_f32(const spk_dense_f32 *layer, spk_field rows, spk_field cols,
                                   const float *restrict in, const float *restrict weight,
                                   const float *restrict bias, float *restrict out,
                                   uint32_t positions, uint32_t channels) {
  for (uint32_t p = 0; p < positions; p++) {
    memcpy(out + (size_t)p * layer->out_channels, bias, channels * sizeof(float));
  }
  const size_t tap = (size_t)layer->group_in * channels;
  const size_t in_row = (size_t)layer->row_step * layer->in_width * layer->in_channels;
  const size_t weight_row = layer->kernel_width * tap;
  const size_t in_step = (size_t)layer->whole_step * layer->in_channels;
  const float *values = in + ((size_t)rows.in * layer->in_width + cols.in) * layer->in_channels;
  const float *weights = weight + rows.tap * weight_row + cols.tap * tap;
  if (layer->col_step == 1 && layer->group_in == layer->in_channels) {
    // A row of taps, all their channels, is one run of neighbouring values.
    const spk_patch patch = {rows.taps, cols.taps * layer->group_in, in_row, weight_row};
    spk_dot_f32(&patch, out, layer->out_channels, values, in_step, weights, positions, channels);
  } else {
    const spk_patch patch = {cols.taps, layer->group_in,
                             (size_t)layer->col_step * layer->in_channels, tap};
    for (uint32_t ky = 0; ky < rows.taps; ky++) {
      spk_dot_f32(&patch, out, layer->out_channels, values, in_step, weights, positions, channels);
      values += in_row;
      weights += weight_row;
    }
  }
}

// Sums for a block of `channels` output channels at every position.
SPK_KERNEL void spk_dense_block_f32(const spk_dense_f32 *layer, const float *restrict in,
                                    const float *restrict weight, const float *restrict bias,
                                    float *restrict out, uint32_t channels) {
  for (uint32_t y = 0; y < layer->out_height; y++) {
    const spk_field rows = layer->rows[y];
    for (uint32_t x = 0; x < layer->out_width;) {
      spk_field cols = layer->cols[x];
      const uint32_t whole =
          x < layer->whole_from || x >= layer->whole_to ? 0 : layer->whole_to - x;
      if (whole != 0) {  // as constants, for which compilers compute addresses ahead
        cols.tap = 0;
        cols.taps = (uint16_t)layer->kernel_width;
      }
      float *to = out + ((size_t)y * layer->out_width + x) * layer->out_channels;
      if (whole >= SPK_DOT_POSITIONS) {
        spk_dense_tile_f32(layer, rows, cols, in, weight, bias, to, SPK_DOT_POSITIONS, channels);
        x += SPK_DOT_POSITIONS;
      } else if (SPK_DOT_POSITIONS > 2 && whole >= 2) {
        spk_dense_tile_f32(layer, rows, cols, in, weight, bias, to, 2, channels);
        x += 2;
      } else {
        spk_dense_tile_f32(layer, rows, cols, in, weight, bias, to, 1, channels);
        x += 1;
      }
    }
  }
}

// out = bias + sum of value * weight, inputs in memory order. `in` is
// [in_height][in_width][in_channels] and finite, `out` [out_height][out_width][out_channels].
SPK_KERNEL void spk_dense_sum_f32(const spk_dense_f32 *layer, const float *restrict in,
                                  float *restrict out) {
  const size_t field = (size_t)layer->kernel_height * layer->kernel_width * layer->group_in;
  const uint32_t blocks = layer->group_out / SPK_DOT_CHANNELS;
  const float *weight = spk_opaque_f32(layer->weight);
  const float *bias = spk_opaque_f32(layer->bias);
  for (uint32_t first = 0; first < layer->out_channels; first += layer->group_out) {
    uint32_t c = first;
    for (uint32_t block = 0; block < blocks; block++, c += SPK_DOT_CHANNELS) {
      spk_dense_block_f32(layer, in, weight + c * field, bias + c, out + c, SPK_DOT_CHANNELS);
    }
    if (layer->group_out & 4) {
      spk_dense_block_f32(layer, in, weight + c * field, bias + c, out + c, 4);
      c += 4;
    }
    if (layer->group_out & 2) {
      spk_dense_block_f32(layer, in, weight + c * field, bias + c, out + c, 2);
      c += 2;
    }
    if (layer->group_out & 1) {
      spk_dense_block_f32(layer, in, weight + c * field, bias + c, out + c, 1);
    }
    in += layer->group_in;
  }
}

#endif  // SPK_DENSE_H_
