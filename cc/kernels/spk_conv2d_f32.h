// SPDX-License-Identifier: Apache-2.0
// Event-driven 2-D convolution in float32: every active input adds its weights to its outputs.
#ifndef SPK_CONV2D_F32_H_
#define SPK_CONV2D_F32_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_run_f32.h"
#include "spk_spikes.h"

// What one input row (or column) reaches: `taps` outputs from `out` on, through the kernel taps
// from `tap` on in tap order.
typedef struct spk_span {
  uint16_t out;
  uint16_t tap;
  uint16_t taps;
} spk_span;

// Stride, padding and dilation are baked into the spans, so a step divides and branches on
// nothing. Tap order is the order in which one input meets rising outputs; for stride 1 it is the
// kernel reversed.
typedef struct spk_conv2d_f32 {
  const float *weight;   // [in_channels][kernel_height][kernel_width][group_out], taps in tap order
  const float *bias;     // [out_channels]
  const spk_span *rows;  // [in_height]
  const spk_span *cols;  // [in_width]
  uint32_t in_width;
  uint32_t in_height;
  uint32_t in_channels;
  uint32_t out_width;
  uint32_t out_height;
  uint32_t out_channels;
  uint32_t kernel_height;
  uint32_t kernel_width;
  uint32_t row_step;   // distance of two neighbouring taps' output rows; 1 unless dilated
  uint32_t col_step;   // distance of two neighbouring taps' output columns; 1 unless dilated
  uint32_t stride_y;   // distance of two neighbouring outputs' windows
  uint32_t pad_top;    // how far the first output's window begins above the input
  uint32_t field;      // rows from the first to the last that a window reads
  uint32_t group_in;   // input channels of one group; in_channels when there are no groups
  uint32_t group_out;  // output channels of one group
} spk_conv2d_f32;

// Adds what one input (column x, `channel`, not zero) contributes to the outputs of the rows
// `rows`, whose `out` counts from the row that `out` points to.
SPK_KERNEL void spk_conv2d_spread_rows_f32(const spk_conv2d_f32 *conv, spk_span rows, uint32_t x,
                                           uint32_t channel, float value, float *restrict out) {
  const spk_span cols = conv->cols[x];
  const size_t out_row = (size_t)conv->out_width * conv->out_channels;
  const size_t weight_row = (size_t)conv->kernel_width * conv->group_out;
  const float *weight = conv->weight +
                        (channel * (size_t)conv->kernel_height + rows.tap) * weight_row +
                        (size_t)cols.tap * conv->group_out;
  float *target = out + rows.out * out_row + (size_t)cols.out * conv->out_channels +
                  (size_t)(channel / conv->group_in) * conv->group_out;
  const bool whole_row = conv->col_step == 1 && conv->group_out == conv->out_channels;
  for (uint32_t ky = 0; ky < rows.taps; ky++) {
    if (whole_row && cols.taps == conv->kernel_width) {
      // Away from the borders the length is a constant, which compilers unroll and vectorise.
      spk_run_add_f32(target, weight, weight_row, value);
    } else if (whole_row) {
      spk_run_add_f32(target, weight, (size_t)cols.taps * conv->group_out, value);
    } else {
      for (uint32_t kx = 0; kx < cols.taps; kx++) {
        spk_run_add_f32(target + (size_t)kx * conv->col_step * conv->out_channels,
                        weight + (size_t)kx * conv->group_out, conv->group_out, value);
      }
    }
    weight += weight_row;
    target += conv->row_step * out_row;
  }
}

// Adds what one input (memory position `index`, not zero) contributes to `out`.
SPK_KERNEL void spk_conv2d_spread_f32(const spk_conv2d_f32 *conv, uint32_t index, float value,
                                      float *restrict out) {
  const uint32_t position = index / conv->in_channels;
  spk_conv2d_spread_rows_f32(conv, conv->rows[position / conv->in_width], position % conv->in_width,
                             index % conv->in_channels, value, out);
}

// out = bias at every position. `out` is [rows][out_width][out_channels].
SPK_KERNEL void spk_conv2d_bias_f32(const spk_conv2d_f32 *conv, uint32_t rows,
                                    float *restrict out) {
  spk_run_repeat_f32(out, spk_opaque_f32(conv->bias), conv->out_channels,
                     (size_t)rows * conv->out_width);
}

// out = bias + sum of value * weight over a checked list of active inputs, in list order.
SPK_KERNEL void spk_conv2d_active_f32(const spk_conv2d_f32 *conv, const spk_active *active,
                                      size_t count, float *restrict out) {
  spk_conv2d_bias_f32(conv, conv->out_height, out);
  for (size_t i = 0; i < count; i++) {
    spk_conv2d_spread_f32(conv, active[i].index, active[i].value, out);
  }
}

// out = bias + sum of weight over a list of spikes, in list order.
SPK_KERNEL void spk_conv2d_spikes_f32(const spk_conv2d_f32 *conv, const spk_index *spikes,
                                      size_t count, float *restrict out) {
  spk_conv2d_bias_f32(conv, conv->out_height, out);
  for (size_t i = 0; i < count; i++) spk_conv2d_spread_f32(conv, spikes[i], 1.0f, out);
}

// out = bias + sum of value * weight over the values of a dense input that are not zero.
SPK_KERNEL void spk_conv2d_dense_f32(const spk_conv2d_f32 *conv, const float *restrict in,
                                     float *restrict out) {
  const uint32_t inputs = conv->in_height * conv->in_width * conv->in_channels;
  spk_conv2d_bias_f32(conv, conv->out_height, out);
  spk_conv2d_f32 hidden = *conv;
  hidden.weight = spk_opaque_f32(conv->weight);
  for (uint32_t i = 0; i < inputs; i++) {
    if (in[i] != 0.0f) spk_conv2d_spread_f32(&hidden, i, in[i], out);
  }
}

// A map that is made band by band, a few rows of outputs at a time, so that little memory serves;
// row_step is 1. Each output gets the same sum in the same order. Bands come from top to bottom,
// and
// `*at`, 0 before the first, is how far the list is done with.

// The inputs [from, to) that the `rows` rows of outputs from `first` on may read.
SPK_KERNEL uint32_t spk_conv2d_band_from(const spk_conv2d_f32 *conv, uint32_t first) {
  const uint32_t top = first * conv->stride_y;
  const uint32_t from = top > conv->pad_top ? top - conv->pad_top : 0;
  return from * conv->in_width * conv->in_channels;
}
SPK_KERNEL uint32_t spk_conv2d_band_to(const spk_conv2d_f32 *conv, uint32_t first, uint32_t rows) {
  const uint32_t bottom = (first + rows - 1) * conv->stride_y + conv->field;
  const uint32_t to = bottom > conv->pad_top ? bottom - conv->pad_top : 0;
  return (to < conv->in_height ? to : conv->in_height) * conv->in_width * conv->in_channels;
}

// Adds what one input contributes to the `rows` rows of outputs from `first` on, the first of which
// `out` points to.
SPK_KERNEL void spk_conv2d_band_spread_f32(const spk_conv2d_f32 *conv, uint32_t index, float value,
                                           uint32_t first, uint32_t rows, float *restrict out) {
  const uint32_t position = index / conv->in_channels;
  const spk_span all = conv->rows[position / conv->in_width];
  const uint32_t end = all.out + all.taps < first + rows ? all.out + all.taps : first + rows;
  const uint32_t from = all.out > first ? all.out : first;
  const spk_span reached = {(uint16_t)(from - first), (uint16_t)(all.tap + from - all.out),
                            (uint16_t)(end > from ? end - from : 0)};
  spk_conv2d_spread_rows_f32(conv, reached, position % conv->in_width, index % conv->in_channels,
                             value, out);
}

// out = bias + sum of value * weight for the rows [first, first + rows) of outputs. `out` is
// [rows][out_width][out_channels].
SPK_KERNEL void spk_conv2d_band_active_f32(const spk_conv2d_f32 *conv, const spk_active *active,
                                           size_t count, size_t *at, uint32_t first, uint32_t rows,
                                           float *restrict out) {
  const uint32_t from = spk_conv2d_band_from(conv, first);
  const uint32_t to = spk_conv2d_band_to(conv, first, rows);
  spk_conv2d_bias_f32(conv, rows, out);
  size_t i = *at;
  while (i < count && active[i].index < from) i++;
  *at = i;
  for (; i < count && active[i].index < to; i++) {
    spk_conv2d_band_spread_f32(conv, active[i].index, active[i].value, first, rows, out);
  }
}

// The same for a list of spikes, each of which is 1.
SPK_KERNEL void spk_conv2d_band_spikes_f32(const spk_conv2d_f32 *conv, const spk_index *spikes,
                                           uint32_t count, size_t *at, uint32_t first,
                                           uint32_t rows, float *restrict out) {
  const uint32_t from = spk_conv2d_band_from(conv, first);
  const uint32_t to = spk_conv2d_band_to(conv, first, rows);
  spk_conv2d_bias_f32(conv, rows, out);
  size_t i = *at;
  while (i < count && spikes[i] < from) i++;
  *at = i;
  for (; i < count && spikes[i] < to; i++) {
    spk_conv2d_band_spread_f32(conv, spikes[i], 1.0f, first, rows, out);
  }
}

// The same for the values of a dense input that are not zero.
SPK_KERNEL void spk_conv2d_band_dense_f32(const spk_conv2d_f32 *conv, const float *restrict in,
                                          uint32_t first, uint32_t rows, float *restrict out) {
  const uint32_t to = spk_conv2d_band_to(conv, first, rows);
  spk_conv2d_bias_f32(conv, rows, out);
  spk_conv2d_f32 hidden = *conv;
  hidden.weight = spk_opaque_f32(conv->weight);
  for (uint32_t i = spk_conv2d_band_from(conv, first); i < to; i++) {
    if (in[i] != 0.0f) spk_conv2d_band_spread_f32(&hidden, i, in[i], first, rows, out);
  }
}

#endif  // SPK_CONV2D_F32_H_
