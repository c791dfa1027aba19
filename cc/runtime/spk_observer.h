// SPDX-License-Identifier: Apache-2.0
// How a driver watches the layers of a compiled network while it steps.
#ifndef SPK_OBSERVER_H_
#define SPK_OBSERVER_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_status.h"

// What one spiking layer did in one time step, as an observer sees it.
typedef struct spk_layer_view {
  uint32_t layer;         // 0 is the first spiking layer
  uint32_t neurons;       // how many neurons the layer has
  uint32_t count;         // how many of them spiked
  uint32_t index_bytes;   // 2 or 4: the width of one entry of `spikes`
  const void *spikes;     // their memory positions, rising
  const float *membrane;  // [neurons], after this step
} spk_layer_view;

// Called once a spiking layer in every step. The view is valid during the call only.
typedef void (*spk_observer)(void *context, const spk_layer_view *view);

// Shows one layer to `observer`, unless that is NULL. Arguments are the view's fields in order.
static inline void spk_observe(spk_observer observer, void *context, uint32_t layer,
                               uint32_t neurons, uint32_t count, uint32_t index_bytes,
                               const void *spikes, const float *membrane) {
  if (observer == NULL) return;
  const spk_layer_view view = {layer, neurons, count, index_bytes, spikes, membrane};
  observer(context, &view);
}

#endif  // SPK_OBSERVER_H_
