// SPDX-License-Identifier: Apache-2.0
// Which values of a block are not zero, in plain C.
#ifndef SPK_NONZERO_GENERIC_H_
#define SPK_NONZERO_GENERIC_H_

#include <stdint.h>

enum { SPK_NONZERO_BLOCK = 16 };  // values looked at together

// Bit i says whether values[i] is not zero, for i in [0, length), at most SPK_NONZERO_BLOCK.
static inline uint32_t spk_nonzero(const float *values, uint32_t length) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < length; i++) found |= (uint32_t)(values[i] != 0.0f) << i;
  return found;
}

#endif  // SPK_NONZERO_GENERIC_H_
