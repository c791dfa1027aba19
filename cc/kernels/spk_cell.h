// SPDX-License-Identifier: Apache-2.0
// What generated neurons are made of, beyond C's own arithmetic. Like that, it has the same bits on
// every machine.
#ifndef SPK_CELL_H_
#define SPK_CELL_H_

#include <stdint.h>

#include "spk_kernel.h"
#include "spk_spikes.h"

enum { SPK_CELLS = 32 };  // cells updated at a time, before those that fired are listed

SPK_KERNEL float spk_abs_f32(float a) { return a > 0.0f ? a : 0.0f - a; }
SPK_KERNEL int32_t spk_abs_i32(int32_t a) { return a > 0 ? a : -a; }

// The larger one; of 0 and -0 the first.
SPK_KERNEL float spk_max_f32(float a, float b) { return b > a ? b : a; }
SPK_KERNEL int32_t spk_max_i32(int32_t a, int32_t b) { return b > a ? b : a; }

// The level nearest to x, of equally near ones the first.
SPK_KERNEL float spk_nearest_f32(float x, const float *levels, uint32_t count) {
  float nearest = levels[0];
  float least = spk_abs_f32(levels[0] - x);
  for (uint32_t i = 1; i < count; i++) {
    const float distance = spk_abs_f32(levels[i] - x);
    nearest = distance < least ? levels[i] : nearest;
    least = distance < least ? distance : least;
  }
  return nearest;
}

// a times decay / 2^15, rounded to nearest, halves up.
SPK_KERNEL int32_t spk_decay_i32(int32_t a, int32_t decay) {
  return (int32_t)(((int64_t)a * decay + 16384) >> 15);
}

#endif  // SPK_CELL_H_
