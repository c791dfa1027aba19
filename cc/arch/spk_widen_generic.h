// SPDX-License-Identifier: Apache-2.0
// Loading int8 into vectors of wider integers of 128 bits, as GCC and Clang offer it to every CPU.
#ifndef SPK_WIDEN_GENERIC_H_
#define SPK_WIDEN_GENERIC_H_

#include <stdint.h>

#include "spk_kernel.h"
#include "spk_lanes.h"

//@ template LANES  BYTES
//@          i16x8  spk_i8x8
//@          i16x4  spk_i8x4
//@          i32x4  spk_i8x4
SPK_KERNEL spk_LANES spk_widen_LANES(const int8_t *from) {
  return __builtin_convertvector(*(const BYTES *)(const void *)from, spk_LANES);
}
//@ end

#endif  // SPK_WIDEN_GENERIC_H_
