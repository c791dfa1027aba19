// SPDX-License-Identifier: Apache-2.0
// Max, average and sum pooling of dense values.
#ifndef SPK_POOL_H_
#define SPK_POOL_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_extent.h"

typedef struct spk_pool {
  const spk_extent *rows;  // [out_height]
  const spk_extent *cols;  // [out_width]
  uint32_t in_width;
  uint32_t out_height;
  uint32_t out_width;
  uint32_t channels;
  uint32_t row_step;      // distance of two taps' rows; 1 unless dilated
  uint32_t col_step;      // distance of two taps' columns; 1 unless dilated
  const float *divisors;  // [out_height][out_width], average pooling of float32 only
} spk_pool;

//@ template NUM  TYPE
//@          f32  float
//@          i16  int16_t
//@          i32  int32_t
// out[y][x][c] = the largest value in its window. `in` is [rows][in_width][channels].
SPK_KERNEL void spk_maxpool_dense_NUM(const spk_pool *pool, const TYPE *restrict in,
                                      TYPE *restrict out) {
  for (uint32_t y = 0; y < pool->out_height; y++) {
    for (uint32_t x = 0; x < pool->out_width; x++, out += pool->channels) {
      const spk_extent rows = pool->rows[y];
      const spk_extent cols = pool->cols[x];
      const size_t first = ((size_t)rows.first * pool->in_width + cols.first) * pool->channels;
      const TYPE *corner = in + first;
      for (uint32_t c = 0; c < pool->channels; c++) {
        TYPE largest = corner[c];
        for (uint32_t i = 0; i < rows.taps; i++) {
          for (uint32_t j = 0; j < cols.taps; j++) {
            const TYPE value =
                corner[((size_t)i * pool->row_step * pool->in_width + (size_t)j * pool->col_step) *
                           pool->channels +
                       c];
            largest = value > largest ? value : largest;
          }
        }
        out[c] = largest;
      }
    }
  }
}
//@ end

// out[y][x][c] = the sum over its window, rows first, divided by the window's divisor.
SPK_KERNEL void spk_avgpool_dense_f32(const spk_pool *pool, const float *restrict in,
                                      float *restrict out) {
  const float *divisor = pool->divisors;
  for (uint32_t y = 0; y < pool->out_height; y++) {
    for (uint32_t x = 0; x < pool->out_width; x++, out += pool->channels, divisor++) {
      const spk_extent rows = pool->rows[y];
      const spk_extent cols = pool->cols[x];
      const float *corner =
          in + ((size_t)rows.first * pool->in_width + cols.first) * pool->channels;
      for (uint32_t c = 0; c < pool->channels; c++) {
        float sum = 0.0f;
        for (uint32_t i = 0; i < rows.taps; i++) {
          for (uint32_t j = 0; j < cols.taps; j++) {
            sum += corner[((size_t)i * pool->in_width + j) * pool->channels + c];
          }
        }
        out[c] = sum / *divisor + 0.0f;  // +0 where a quotient underflows to -0
      }
    }
  }
}

//@ template NUM  TYPE
//@          i16  int16_t
//@          i32  int32_t
// out[y][x][c] = the sum over its window, which must be known to fit. `in` is
// [rows][in_width][channels].
SPK_KERNEL void spk_sumpool_dense_NUM(const spk_pool *pool, const TYPE *restrict in,
                                      TYPE *restrict out) {
  for (uint32_t y = 0; y < pool->out_height; y++) {
    for (uint32_t x = 0; x < pool->out_width; x++, out += pool->channels) {
      const spk_extent rows = pool->rows[y];
      const spk_extent cols = pool->cols[x];
      const size_t first = ((size_t)rows.first * pool->in_width + cols.first) * pool->channels;
      const TYPE *corner = in + first;
      for (uint32_t c = 0; c < pool->channels; c++) {
        TYPE sum = 0;
        for (uint32_t i = 0; i < rows.taps; i++) {
          for (uint32_t j = 0; j < cols.taps; j++) {
            const TYPE value =
                corner[((size_t)i * pool->row_step * pool->in_width + (size_t)j * pool->col_step) *
                           pool->channels +
                       c];
            sum = (TYPE)(sum + value);
          }
        }
        out[c] = sum;
      }
    }
  }
}
//@ end

#endif  // SPK_POOL_H_
