// SPDX-License-Identifier: Apache-2.0
// Max pooling of spikes into spikes.
#ifndef SPK_MAXPOOL_SPIKES_H_
#define SPK_MAXPOOL_SPIKES_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_pool.h"
#include "spk_spikes.h"

// Max pooling of spikes: an output spikes when any input in its window does. `map` is
// [rows][in_width][channels] bytes of scratch; returns the number of spikes written to `out`.
SPK_KERNEL uint32_t spk_maxpool_spikes_run(const spk_pool *pool, const spk_index *restrict spikes,
                                           uint32_t count, uint8_t *restrict map, uint32_t inputs,
                                           spk_index *restrict out) {
  memset(map, 0, inputs);
  for (uint32_t i = 0; i < count; i++) map[spikes[i]] = 1;
  uint32_t found = 0;
  uint32_t index = 0;
  for (uint32_t y = 0; y < pool->out_height; y++) {
    for (uint32_t x = 0; x < pool->out_width; x++) {
      const spk_extent rows = pool->rows[y];
      const spk_extent cols = pool->cols[x];
      const uint8_t *corner =
          map + ((size_t)rows.first * pool->in_width + cols.first) * pool->channels;
      for (uint32_t c = 0; c < pool->channels; c++, index++) {
        uint8_t any = 0;
        for (uint32_t i = 0; i < rows.taps; i++) {
          for (uint32_t j = 0; j < cols.taps; j++) {
            any |=
                corner[((size_t)i * pool->row_step * pool->in_width + (size_t)j * pool->col_step) *
                           pool->channels +
                       c];
          }
        }
        out[found] = (spk_index)index;
        found += any;
      }
    }
  }
  return found;
}

#endif  // SPK_MAXPOOL_SPIKES_H_
