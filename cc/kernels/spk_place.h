// SPDX-License-Identifier: Apache-2.0
// Puts values and spikes where a layer that joins or reorders them wants them.
#ifndef SPK_PLACE_H_
#define SPK_PLACE_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_spikes.h"

//@ template NUM  TYPE
//@          f32  float
//@          i16  int16_t
// out[r * row_step + c * column_step] = values[r][c] for `rows` rows of `columns` values.
SPK_KERNEL void spk_place_NUM(const TYPE *restrict values, uint32_t rows, uint32_t columns,
                              TYPE *restrict out, uint32_t row_step, uint32_t column_step) {
  for (uint32_t r = 0; r < rows; r++, values += columns, out += row_step) {
    for (uint32_t c = 0; c < columns; c++) out[(size_t)c * column_step] = values[c];
  }
}
//@ end

// Appends `from[i] + offset` for i in [0, length) to `spikes`, which holds `count` entries. Returns
// the new count.
SPK_KERNEL uint32_t spk_join_spikes(const spk_index *restrict from, uint32_t length,
                                    uint32_t offset, spk_index *restrict spikes, uint32_t count) {
  for (uint32_t i = 0; i < length; i++) spikes[count + i] = (spk_index)(from[i] + offset);
  return count + length;
}

#endif  // SPK_PLACE_H_
