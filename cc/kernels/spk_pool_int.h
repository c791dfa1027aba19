// SPDX-License-Identifier: Apache-2.0
// Max and sum pooling of dense integers, whose sums must be known to fit.
#ifndef SPK_POOL_INT_H_
#define SPK_POOL_INT_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_compiler.h"
#include "spk_extent.h"

typedef struct spk_pool_int {
  const spk_extent *rows;  // [out_height]
  const spk_extent *cols;  // [out_width]
  uint32_t in_width;
  uint32_t out_height;
  uint32_t out_width;
  uint32_t channels;
  uint32_t row_step;  // distance of two taps' rows; 1 unless dilated
  uint32_t col_step;  // distance of two taps' columns; 1 unless dilated
} spk_pool_int;

// out[y][x][c] = its window's values, each joined to those before it; `in` is
// [rows][in_width][channels]. `start` is where that begins, of the window's first value.
#define SPK_POOL_OF_(name, type, start, joined)                                                 \
  SPK_KERNEL void name(const spk_pool_int *pool, const type *restrict in, type *restrict out) { \
    for (uint32_t y = 0; y < pool->out_height; y++) {                                           \
      for (uint32_t x = 0; x < pool->out_width; x++, out += pool->channels) {                   \
        const spk_extent rows = pool->rows[y];                                                  \
        const spk_extent cols = pool->cols[x];                                                  \
        const type *corner =                                                                    \
            in + ((size_t)rows.first * pool->in_width + cols.first) * pool->channels;           \
        for (uint32_t c = 0; c < pool->channels; c++) {                                         \
          type all = start(corner[c]);                                                          \
          for (uint32_t i = 0; i < rows.taps; i++) {                                            \
            for (uint32_t j = 0; j < cols.taps; j++) {                                          \
              const type value = corner[((size_t)i * pool->row_step * pool->in_width +          \
                                         (size_t)j * pool->col_step) *                          \
                                            pool->channels +                                    \
                                        c];                                                     \
              all = (type)joined(all, value);                                                   \
            }                                                                                   \
          }                                                                                     \
          out[c] = all;                                                                         \
        }                                                                                       \
      }                                                                                         \
    }                                                                                           \
  }

// out[y][x][c] = the largest value in its window.
#define SPK_POOL_FIRST_(first) (first)
#define SPK_POOL_LARGER_(a, b) ((b) > (a) ? (b) : (a))
SPK_POOL_OF_(spk_maxpool_dense_i16, int16_t, SPK_POOL_FIRST_, SPK_POOL_LARGER_)
SPK_POOL_OF_(spk_maxpool_dense_i32, int32_t, SPK_POOL_FIRST_, SPK_POOL_LARGER_)
#undef SPK_POOL_FIRST_
#undef SPK_POOL_LARGER_

// out[y][x][c] = the sum over its window.
#define SPK_POOL_NOTHING_(first) 0
#define SPK_POOL_SUM_(a, b) ((a) + (b))
SPK_POOL_OF_(spk_sumpool_dense_i16, int16_t, SPK_POOL_NOTHING_, SPK_POOL_SUM_)
SPK_POOL_OF_(spk_sumpool_dense_i32, int32_t, SPK_POOL_NOTHING_, SPK_POOL_SUM_)
#undef SPK_POOL_NOTHING_
#undef SPK_POOL_SUM_

#undef SPK_POOL_OF_

#endif  // SPK_POOL_INT_H_
