// SPDX-License-Identifier: Apache-2.0
// Loading int8 into vectors of wider integers of 128 bits, as GCC and Clang offer it to every CPU.
#ifndef SPK_WIDEN_GENERIC_H_
#define SPK_WIDEN_GENERIC_H_

#include <stdint.h>

#include "spk_compiler.h"
#include "spk_lanes.h"

#define SPK_WIDEN_OF_(lanes, bytes)                                                  \
  SPK_KERNEL spk_##lanes spk_widen_##lanes(const int8_t *from) {                     \
    return __builtin_convertvector(*(const bytes *)(const void *)from, spk_##lanes); \
  }
SPK_WIDEN_OF_(i16x8, spk_i8x8)
SPK_WIDEN_OF_(i16x4, spk_i8x4)
SPK_WIDEN_OF_(i32x4, spk_i8x4)
#undef SPK_WIDEN_OF_

#endif  // SPK_WIDEN_GENERIC_H_
