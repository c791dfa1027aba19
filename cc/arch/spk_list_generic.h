// SPDX-License-Identifier: Apache-2.0
// Building lists of spikes in plain C.
#ifndef SPK_LIST_GENERIC_H_
#define SPK_LIST_GENERIC_H_

#include <stdint.h>

#include "spk_kernel.h"
#include "spk_spikes.h"

// Appends first + i to `spikes`, which holds `count` entries, for every fired[i] that is 1 (the
// others are 0), i in [0, length). Returns the new count.
SPK_KERNEL uint32_t spk_list_append(spk_index *restrict spikes, uint32_t count, uint32_t first,
                                    const uint32_t *restrict fired, uint32_t length) {
  for (uint32_t i = 0; i < length; i++) {
    // Written always, kept when it spiked: no branch to mispredict.
    spikes[count] = (spk_index)(first + i);
    count += fired[i];
  }
  return count;
}

// to[i] = from[i] + shift for i in [0, length), in the arithmetic of spk_index.
SPK_KERNEL void spk_list_shift(spk_index *restrict to, const spk_index *restrict from,
                               uint32_t length, uint32_t shift) {
  for (uint32_t i = 0; i < length; i++) to[i] = (spk_index)(from[i] + shift);
}

#endif  // SPK_LIST_GENERIC_H_
