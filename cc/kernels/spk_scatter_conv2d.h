// SPDX-License-Identifier: Apache-2.0
// Event-driven 2-D convolution, input by input: every active input adds its weights to the outputs
// that it reaches. In float32, where sums start from a bias; and with int8 weights and sums in
// int16 or int32, which must be known to fit and start at 0. On a Cortex-M7 integer sums start a
// word.
#ifndef SPK_SCATTER_CONV2D_H_
#define SPK_SCATTER_CONV2D_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spk_opaque.h"
#include "spk_span.h"
#include "spk_spikes.h"

//@ template NUM  VALUE    WEIGHT  SUM
//@          f32  float    float   float
//@          i16  int32_t  int8_t  int16_t
//@          i32  int32_t  int8_t  int32_t
// Stride, padding and dilation are baked into the spans, so a step divides and branches on
// nothing. Tap order is the order in which one input meets rising outputs; for stride 1 it is the
// kernel reversed.
typedef struct spk_scatter_conv2d_NUM {
  // [in_channels][kernel_height][kernel_width][group_out], taps in tap order
  const WEIGHT *weight;
  const SUM *bias;       // [out_channels], where sums start  //@ only f32
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
} spk_scatter_conv2d_NUM;

// What the inputs of one position have in common: the outputs that they reach, and the weights of
// channel 0. Where there are groups, channel 0's outputs.
typedef struct spk_reach_NUM {
  SUM *out;
  const WEIGHT *weight;
  uint32_t rows;  // how many of each
  uint32_t cols;
} spk_reach_NUM;

// The place of column x that reaches the rows `rows` of outputs, whose `out` counts from the row
// that `out` points to.
SPK_KERNEL spk_reach_NUM spk_scatter_conv2d_reach_NUM(const spk_scatter_conv2d_NUM *conv,
                                                      spk_span rows, uint32_t x, SUM *out) {
  const spk_span cols = conv->cols[x];
  const size_t out_row = (size_t)conv->out_width * conv->out_channels;
  const size_t weight_row = (size_t)conv->kernel_width * conv->group_out;
  return (spk_reach_NUM){out + rows.out * out_row + (size_t)cols.out * conv->out_channels,
                         conv->weight + rows.tap * weight_row + (size_t)cols.tap * conv->group_out,
                         rows.taps, cols.taps};
}

// The same for input position p and all rows of outputs, the first of which `out` points to.
SPK_KERNEL spk_reach_NUM spk_scatter_conv2d_find_NUM(const spk_scatter_conv2d_NUM *conv, uint32_t p,
                                                     SUM *out) {
  return spk_scatter_conv2d_reach_NUM(conv, conv->rows[p / conv->in_width], p % conv->in_width,
                                      out);
}

// The same for the `rows` rows of outputs from `first` on, the first of which `out` points to.
SPK_KERNEL spk_reach_NUM spk_scatter_conv2d_band_find_NUM(const spk_scatter_conv2d_NUM *conv,
                                                          uint32_t p, uint32_t first, uint32_t rows,
                                                          SUM *out) {
  const spk_span all = conv->rows[p / conv->in_width];
  const uint32_t end = all.out + all.taps < first + rows ? all.out + all.taps : first + rows;
  const uint32_t from = all.out > first ? all.out : first;
  const spk_span reached = {(uint16_t)(from - first), (uint16_t)(all.tap + from - all.out),
                            (uint16_t)(end > from ? end - from : 0)};
  return spk_scatter_conv2d_reach_NUM(conv, reached, p % conv->in_width, out);
}

// Adds what one input, which is not zero, contributes to the outputs of its place.
SPK_KERNEL void spk_scatter_conv2d_add_NUM(const spk_scatter_conv2d_NUM *conv, spk_reach_NUM place,
                                           uint32_t channel, VALUE value) {
  const size_t weight_row = (size_t)conv->kernel_width * conv->group_out;
  const size_t out_step = (size_t)conv->row_step * conv->out_width * conv->out_channels;
  const WEIGHT *restrict weight = place.weight + channel * (size_t)conv->kernel_height * weight_row;
  const uint32_t group = conv->group_in == conv->in_channels ? 0 : channel / conv->group_in;
  SUM *restrict out = place.out + (size_t)group * conv->group_out;
  const bool whole_row = conv->col_step == 1 && conv->group_out == conv->out_channels;
  if (whole_row && place.cols == conv->kernel_width) {
    // Away from the borders the length is a constant, which compilers unroll and vectorise.
    spk_run_add_rows_NUM(out, out_step, weight, weight_row, weight_row, place.rows, conv->group_out,
                         value);
  } else if (whole_row) {
    spk_run_add_rows_NUM(out, out_step, weight, weight_row, (size_t)place.cols * conv->group_out,
                         place.rows, conv->group_out, value);
  } else {
    for (uint32_t kx = 0; kx < place.cols; kx++) {
      spk_run_add_rows_NUM(out + (size_t)kx * conv->col_step * conv->out_channels, out_step,
                           weight + (size_t)kx * conv->group_out, weight_row, conv->group_out,
                           place.rows, conv->group_out, value);
    }
  }
}

// The same for spikes at one position, `many` of them, whose weights are given, where no outputs
// stand between those of two taps: outputs are read and written once for all.
SPK_KERNEL void spk_scatter_conv2d_add_many_NUM(const spk_scatter_conv2d_NUM *conv,
                                                spk_reach_NUM place, const WEIGHT *const *weights,
                                                uint32_t many) {
  const size_t weight_row = (size_t)conv->kernel_width * conv->group_out;
  const size_t out_step = (size_t)conv->row_step * conv->out_width * conv->out_channels;
  SPK_UNROLL
  for (uint32_t taps = 1; taps <= conv->kernel_width; taps++) {
    if (place.cols != taps) continue;  // so that the length is a constant
    spk_run_add_many_NUM(place.out, out_step, weights, many, weight_row,
                         (size_t)taps * conv->group_out, place.rows, conv->group_out);
  }
}

// Adds what the spikes at one position contribute to the outputs of its place: the one numbered i
// and those after it, `count` in all. Returns the number of the first one elsewhere.
SPK_KERNEL size_t spk_scatter_conv2d_add_spikes_NUM(const spk_scatter_conv2d_NUM *conv,
                                                    spk_reach_NUM place, uint32_t position,
                                                    const spk_index *spikes, size_t i,
                                                    size_t count) {
  const uint32_t channels = conv->in_channels;
  const size_t step = (size_t)conv->kernel_height * conv->kernel_width * conv->group_out;
  const bool together = SPK_TOGETHER > 1 && conv->col_step == 1 && conv->group_in == channels;
  uint32_t channel = spikes[i] - position * channels;
  do {
    const uint32_t first = channel;
    const WEIGHT *weights[SPK_TOGETHER];
    uint32_t many = 0;
    do {
      weights[many++] = place.weight + channel * step;
      if (++i == count) break;
      channel = spikes[i] - position * channels;
    } while (together && many < SPK_TOGETHER && channel < channels);
    switch (together ? many : 0) {
      case 4:
        spk_scatter_conv2d_add_many_NUM(conv, place, weights, 4);
        break;
      case 3:
        spk_scatter_conv2d_add_many_NUM(conv, place, weights, 3);
        break;
      case 2:
        spk_scatter_conv2d_add_many_NUM(conv, place, weights, 2);
        break;
      case 1:
        spk_scatter_conv2d_add_many_NUM(conv, place, weights, 1);
        break;
      default:
        spk_scatter_conv2d_add_NUM(conv, place, first, 1);
        break;
    }
  } while (i < count && channel < channels);
  return i;
}

// out = where sums start, at every position. `out` is [rows][out_width][out_channels].
SPK_KERNEL void spk_scatter_conv2d_start_NUM(const spk_scatter_conv2d_NUM *conv, uint32_t rows,
                                             SUM *restrict out) {
  const size_t positions = (size_t)rows * conv->out_width;
  spk_run_repeat_f32(out, spk_opaque_f32(conv->bias), conv->out_channels, positions);  //@ only f32
  spk_run_zero_NUM(out, conv->out_channels * positions);  //@ only i16 i32
}

// out = start + sum of value * weight over a checked list of active inputs, in list order.
SPK_KERNEL void spk_scatter_conv2d_active_NUM(const spk_scatter_conv2d_NUM *conv,
                                              const spk_active *active, size_t count,
                                              SUM *restrict out) {
  const uint32_t channels = conv->in_channels;
  spk_scatter_conv2d_start_NUM(conv, conv->out_height, out);
  for (size_t i = 0; i < count; i++) {
    const uint32_t position = active[i].index / channels;
    spk_scatter_conv2d_add_NUM(conv, spk_scatter_conv2d_find_NUM(conv, position, out),
                               active[i].index - position * channels, (VALUE)active[i].value);
  }
}

// out = start + sum of weight over a list of spikes, in list order.
SPK_KERNEL void spk_scatter_conv2d_spikes_NUM(const spk_scatter_conv2d_NUM *conv,
                                              const spk_index *spikes, size_t count,
                                              SUM *restrict out) {
  const uint32_t channels = conv->in_channels;
  spk_scatter_conv2d_start_NUM(conv, conv->out_height, out);
  for (size_t i = 0; i < count;) {
    const uint32_t position = spikes[i] / channels;
    const spk_reach_NUM place = spk_scatter_conv2d_find_NUM(conv, position, out);
    i = spk_scatter_conv2d_add_spikes_NUM(conv, place, position, spikes, i, count);
  }
}

// A map that is made band by band, a few rows of outputs at a time, so that little memory serves;
// row_step is 1. Each output gets the same sum in the same order. Bands come from top to bottom,
// and `*at`, 0 before the first, is how far the list is done with.

// The inputs [from, to) that the `rows` rows of outputs from `first` on may read.
SPK_KERNEL uint32_t spk_scatter_conv2d_band_from_NUM(const spk_scatter_conv2d_NUM *conv,
                                                     uint32_t first) {
  const uint32_t top = first * conv->stride_y;
  const uint32_t from = top > conv->pad_top ? top - conv->pad_top : 0;
  return from * conv->in_width * conv->in_channels;
}
SPK_KERNEL uint32_t spk_scatter_conv2d_band_to_NUM(const spk_scatter_conv2d_NUM *conv,
                                                   uint32_t first, uint32_t rows) {
  const uint32_t bottom = (first + rows - 1) * conv->stride_y + conv->field;
  const uint32_t to = bottom > conv->pad_top ? bottom - conv->pad_top : 0;
  return (to < conv->in_height ? to : conv->in_height) * conv->in_width * conv->in_channels;
}

// out = start + sum of value * weight for the rows [first, first + rows) of outputs. `out` is
// [rows][out_width][out_channels].
SPK_KERNEL void spk_scatter_conv2d_band_active_NUM(const spk_scatter_conv2d_NUM *conv,
                                                   const spk_active *active, size_t count,
                                                   size_t *at, uint32_t first, uint32_t rows,
                                                   SUM *restrict out) {
  const uint32_t channels = conv->in_channels;
  const uint32_t from = spk_scatter_conv2d_band_from_NUM(conv, first);
  const uint32_t to = spk_scatter_conv2d_band_to_NUM(conv, first, rows);
  spk_scatter_conv2d_start_NUM(conv, rows, out);
  size_t i = *at;
  while (i < count && active[i].index < from) i++;
  *at = i;
  for (; i < count && active[i].index < to; i++) {
    const uint32_t position = active[i].index / channels;
    spk_scatter_conv2d_add_NUM(conv,
                               spk_scatter_conv2d_band_find_NUM(conv, position, first, rows, out),
                               active[i].index - position * channels, (VALUE)active[i].value);
  }
}

// The same for a list of spikes, each of which is 1.
SPK_KERNEL void spk_scatter_conv2d_band_spikes_NUM(const spk_scatter_conv2d_NUM *conv,
                                                   const spk_index *spikes, uint32_t count,
                                                   size_t *at, uint32_t first, uint32_t rows,
                                                   SUM *restrict out) {
  const uint32_t channels = conv->in_channels;
  const uint32_t from = spk_scatter_conv2d_band_from_NUM(conv, first);
  const uint32_t to = spk_scatter_conv2d_band_to_NUM(conv, first, rows);
  spk_scatter_conv2d_start_NUM(conv, rows, out);
  size_t i = *at;
  while (i < count && spikes[i] < from) i++;
  *at = i;
  while (i < count && spikes[i] < to) {
    const uint32_t position = spikes[i] / channels;
    const spk_reach_NUM place = spk_scatter_conv2d_band_find_NUM(conv, position, first, rows, out);
    i = spk_scatter_conv2d_add_spikes_NUM(conv, place, position, spikes, i, count);
  }
}

//@ end

//@ template NUM  READ   IN       VALUE    SUM
//@          f32  dense  float    float    float
//@          i16  dense  int16_t  int32_t  int16_t
//@          i16  frame  float    int32_t  int16_t
//@          i32  dense  int16_t  int32_t  int32_t
//@          i32  frame  float    int32_t  int32_t
// Of each kind of dense input: out = start + sum of value * weight over the values that are not
// zero.
SPK_KERNEL void spk_scatter_conv2d_READ_NUM(const spk_scatter_conv2d_NUM *conv,
                                            const IN *restrict in, SUM *restrict out) {
  const uint32_t channels = conv->in_channels;
  const uint32_t inputs = conv->in_height * conv->in_width * channels;
  spk_scatter_conv2d_start_NUM(conv, conv->out_height, out);
  spk_scatter_conv2d_NUM hidden = *conv;
  hidden.weight = spk_opaque_f32(conv->weight);  //@ only f32
  for (uint32_t i = 0; i < inputs; i++) {
    if (in[i] == 0) continue;
    spk_scatter_conv2d_add_NUM(&hidden, spk_scatter_conv2d_find_NUM(&hidden, i / channels, out),
                               i % channels, (VALUE)in[i]);
  }
}
//@ end

//@ template NUM  READ   IN     VALUE    SUM
//@          f32  dense  float  float    float
//@          i16  frame  float  int32_t  int16_t
//@          i32  frame  float  int32_t  int32_t
// The same for a band of the map: the caller's frame is the only dense input of one.
SPK_KERNEL void spk_scatter_conv2d_band_READ_NUM(const spk_scatter_conv2d_NUM *conv,
                                                 const IN *restrict in, uint32_t first,
                                                 uint32_t rows, SUM *restrict out) {
  const uint32_t channels = conv->in_channels;
  const uint32_t to = spk_scatter_conv2d_band_to_NUM(conv, first, rows);
  spk_scatter_conv2d_start_NUM(conv, rows, out);
  spk_scatter_conv2d_NUM hidden = *conv;
  hidden.weight = spk_opaque_f32(conv->weight);  //@ only f32
  for (uint32_t i = spk_scatter_conv2d_band_from_NUM(conv, first); i < to; i++) {
    if (in[i] == 0) continue;
    spk_scatter_conv2d_add_NUM(
        &hidden, spk_scatter_conv2d_band_find_NUM(&hidden, i / channels, first, rows, out),
        i % channels, (VALUE)in[i]);
  }
}
//@ end

#endif  // SPK_SCATTER_CONV2D_H_
