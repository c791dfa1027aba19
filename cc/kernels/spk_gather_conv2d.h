// SPDX-License-Identifier: Apache-2.0
// Event-driven 2-D convolution in float32, output by output: each adds up the weights of the spikes
// in its receptive field in registers. It beats scattering where many spikes share few outputs.
#ifndef SPK_GATHER_CONV2D_H_
#define SPK_GATHER_CONV2D_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_opaque.h"
#include "spk_spikes.h"
#include "spk_sum_tile.h"

// No groups, no dilation.
typedef struct spk_gather_conv2d_f32 {
  const float *weight;  // [kernel_height][kernel_width][in_channels][out_channels]
  const float *bias;    // [out_channels]
  uint32_t in_height;
  uint32_t in_width;
  uint32_t in_channels;
  uint32_t out_height;
  uint32_t out_width;
  uint32_t out_channels;  // a multiple of 4
  uint32_t kernel_height;
  uint32_t kernel_width;
  uint32_t stride_y;
  uint32_t stride_x;
  uint32_t pad_top;
  uint32_t pad_left;
} spk_gather_conv2d_f32;

// Where a window of inputs, which begins `pad` before `at`, begins and ends inside [0, size]. It
// may lie outside as a whole.
SPK_KERNEL uint32_t spk_gather_from(uint32_t at, uint32_t pad, uint32_t size) {
  const uint32_t from = at > pad ? at - pad : 0;
  return from < size ? from : size;
}
SPK_KERNEL uint32_t spk_gather_to(uint32_t at, uint32_t pad, uint32_t kernel, uint32_t size) {
  const uint32_t end = at + kernel > pad ? at + kernel - pad : 0;
  return end < size ? end : size;
}

// starts[p] = how many of the spikes stand before position p, for p in [0, positions].
SPK_KERNEL void spk_gather_starts(const spk_index *restrict spikes, uint32_t count,
                                  uint32_t channels, uint32_t positions,
                                  spk_index *restrict starts) {
  memset(starts, 0, (positions + 1) * sizeof(spk_index));
  for (uint32_t i = 0; i < count; i++) starts[spikes[i] / channels + 1] = (spk_index)(i + 1);
  spk_index most = 0;
  for (uint32_t p = 0; p <= positions; p++) {
    most = starts[p] > most ? starts[p] : most;
    starts[p] = most;
  }
}

// Writes to `strip` what the column x of outputs sees, and to `rows` [in_height + 1] where each
// input row begins in it. A spike at (y, x', c) becomes ((y * kernel_width) + x' - left) *
// in_channels + c, where `left` is where the window begins: the number of its weight row for the
// output whose window begins at row 0.
SPK_KERNEL void spk_gather_strip(const spk_gather_conv2d_f32 *conv, uint32_t x,
                                 const spk_index *restrict spikes, const spk_index *restrict starts,
                                 spk_index *restrict rows, spk_index *restrict strip) {
  const uint32_t width = conv->in_width;
  const uint32_t left = x * conv->stride_x;
  const uint32_t from = spk_gather_from(left, conv->pad_left, width);
  const uint32_t to = spk_gather_to(left, conv->pad_left, conv->kernel_width, width);
  uint32_t length = 0;
  for (uint32_t y = 0; y < conv->in_height; y++) {
    rows[y] = (spk_index)length;
    const uint32_t first = starts[y * width + from];
    const uint32_t found = starts[y * width + to] - first;
    const uint32_t shift =
        (y * conv->kernel_width + conv->pad_left - left - y * width) * conv->in_channels;
    spk_list_shift(strip + length, spikes + first, found, shift);
    length += found;
  }
  rows[conv->in_height] = (spk_index)length;
}

// The part of a strip that the upper output, in row y, and the lower one, in row `below`, add.
SPK_KERNEL spk_sum_column spk_gather_column(const spk_gather_conv2d_f32 *conv, uint32_t y,
                                            uint32_t below, const spk_index *rows,
                                            const spk_index *strip) {
  const uint32_t kernel = conv->kernel_height, height = conv->in_height, pad = conv->pad_top;
  const uint32_t top = y * conv->stride_y, next = below * conv->stride_y;
  const spk_index *const upper_end = strip + rows[spk_gather_to(top, pad, kernel, height)];
  if (next == top) {
    return (spk_sum_column){strip + rows[spk_gather_from(top, pad, height)], upper_end, upper_end,
                            upper_end};
  }
  return (spk_sum_column){strip + rows[spk_gather_from(top, pad, height)], upper_end,
                          strip + rows[spk_gather_from(next, pad, height)],
                          strip + rows[spk_gather_to(next, pad, kernel, height)]};
}

// out = bias + sum of weight over a list of spikes, in list order. `out` is
// [out_height][out_width][out_channels]. `scratch` is for lists: [in_height * in_width + 1] and
// twice [in_height + 1] and [in_height * kernel_width * in_channels].
SPK_KERNEL void spk_gather_conv2d_spikes_f32(const spk_gather_conv2d_f32 *conv,
                                             const spk_index *restrict spikes, uint32_t count,
                                             spk_index *restrict scratch, float *restrict out) {
  const uint32_t channels = conv->in_channels;
  const uint32_t positions = conv->in_height * conv->in_width;
  const uint32_t row = conv->kernel_width * channels;  // weight rows of one kernel row
  const size_t out_row = (size_t)conv->out_width * conv->out_channels;
  spk_index *const starts = scratch;
  spk_index *const rows0 = starts + positions + 1, *const rows1 = rows0 + conv->in_height + 1;
  spk_index *const strip0 = rows1 + conv->in_height + 1;
  spk_index *const strip1 = strip0 + conv->in_height * row;
  spk_gather_starts(spikes, count, channels, positions, starts);
  spk_sum_tile tile = {
      .weight = spk_opaque_f32(conv->weight), .bias = conv->bias, .channels = conv->out_channels};
  for (uint32_t x = 0; x < conv->out_width; x += 2) {
    const bool alone = x + 1 == conv->out_width;
    spk_gather_strip(conv, x, spikes, starts, rows0, strip0);
    if (!alone) spk_gather_strip(conv, x + 1, spikes, starts, rows1, strip1);
    for (uint32_t y = 0; y < conv->out_height; y += 2) {
      const uint32_t below = y + 1 < conv->out_height ? y + 1 : y;
      tile.shift = (y * conv->stride_y - conv->pad_top) * row;
      tile.step = (below - y) * conv->stride_y * row;
      tile.columns[0] = spk_gather_column(conv, y, below, rows0, strip0);
      tile.columns[1] = alone ? (spk_sum_column){strip1, strip1, strip1, strip1}
                              : spk_gather_column(conv, y, below, rows1, strip1);
      for (uint32_t k = 0; k < 2; k++) {
        float *const sums = out + y * out_row + (size_t)(alone ? x : x + k) * conv->out_channels;
        tile.sums[k][0] = sums;
        tile.sums[k][1] = sums + (below - y) * out_row;
      }
      spk_sum_tile_f32(&tile);
    }
  }
}

#endif  // SPK_GATHER_CONV2D_H_
