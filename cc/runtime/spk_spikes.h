// SPDX-License-Identifier: Apache-2.0
// Lists of active inputs, sorted by memory position.
#ifndef SPK_SPIKES_H_
#define SPK_SPIKES_H_

#include <stdint.h>

// One input that is not zero in this time step. `index` is the position in memory order
// [y][x][c] (channel last), `value` what the input counts: 1 for one event, 2 for two.
typedef struct spk_active {
  uint32_t index;
  float value;
} spk_active;

#endif  // SPK_SPIKES_H_
