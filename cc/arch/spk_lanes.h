// SPDX-License-Identifier: Apache-2.0
// Vectors of float32 and of integers, as GCC and Clang offer them to every CPU that has some: the
// same arithmetic, lane by lane, so the same bits.
#ifndef SPK_LANES_H_
#define SPK_LANES_H_

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "spk_kernel.h"

// Vectors that may stand at any float's address and alias floats.
typedef float spk_f32x4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float spk_f32x8 __attribute__((vector_size(32), aligned(4), may_alias));
//@ only x86-64-v4
typedef float spk_f32x16 __attribute__((vector_size(64), aligned(4), may_alias));

// The same for integers.
//@ only x86-64 aarch64
typedef int8_t spk_i8x4 __attribute__((vector_size(4), aligned(1), may_alias));
//@ only x86-64 aarch64
typedef int8_t spk_i8x8 __attribute__((vector_size(8), aligned(1), may_alias));
typedef int16_t spk_i16x4 __attribute__((vector_size(8), aligned(2), may_alias));
typedef int16_t spk_i16x8 __attribute__((vector_size(16), aligned(2), may_alias));
//@ only x86-64-v3 x86-64-v4
typedef int16_t spk_i16x16 __attribute__((vector_size(32), aligned(2), may_alias));
//@ only x86-64-v4
typedef int16_t spk_i16x32 __attribute__((vector_size(64), aligned(2), may_alias));
typedef int32_t spk_i32x4 __attribute__((vector_size(16), aligned(4), may_alias));
//@ only x86-64-v3 x86-64-v4
typedef int32_t spk_i32x8 __attribute__((vector_size(32), aligned(4), may_alias));
//@ only x86-64-v4
typedef int32_t spk_i32x16 __attribute__((vector_size(64), aligned(4), may_alias));

// The widest vector that is one register of this CPU.
//@ only x86-64 aarch64
typedef spk_f32x4 spk_lanes;
//@ only x86-64-v3
typedef spk_f32x8 spk_lanes;
//@ only x86-64-v4
typedef spk_f32x16 spk_lanes;
enum { SPK_LANES = sizeof(spk_lanes) / sizeof(float) };

// How many spikes at one position add their weights together, so that sums are read and written
// once for all.
enum { SPK_TOGETHER = 4 };

// Integer neurons updated at a time: as many as pay.
enum { SPK_LEAKY_INT_RUN = 512 };

// value where `on`, else 0. Not a plain choice: compilers would make a branch of it, so as not to
// subtract where nothing is to be subtracted, and give up on vectors.
SPK_KERNEL float spk_where_f32(bool on, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits &= 0u - (uint32_t)on;
  memcpy(&value, &bits, sizeof value);
  return value;
}

#endif  // SPK_LANES_H_
