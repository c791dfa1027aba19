// SPDX-License-Identifier: Apache-2.0
// How a driver watches the layers of a compiled network while it steps.
#ifndef SPK_OBSERVER_H_
#define SPK_OBSERVER_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_compiler.h"
#include "spk_status.h"

// What the membranes of a layer are.
typedef enum spk_number { SPK_F32, SPK_I16, SPK_I32 } spk_number;

// What one operation did in one time step, as an observer sees it. Where the operation is no
// spiking layer `neurons` is 0, and so is everything after it.
typedef struct spk_layer_view {
  uint32_t operation;    // 0 is the check of the input, n the step's nth operation after it
  uint32_t neurons;      // how many neurons the layer has
  uint32_t layer;        // 0 is the first spiking layer
  uint32_t count;        // how many of them spiked
  uint32_t index_bytes;  // 2 or 4: the width of one entry of `spikes`
  const void *spikes;    // their memory positions, rising
  const void *membrane;  // [neurons], after this step
  spk_number number;     // what one of them is: float, int16_t or int32_t
} spk_layer_view;

// Called in every step once its input has been found good, and then after each operation, in order.
// The view is valid during the call only.
typedef void (*spk_observer)(void *context, const spk_layer_view *view);

// Shows an operation that is no spiking layer to `observer`, unless that is NULL. That the observer
// is the one of the operation before is hidden: else the compiler makes two copies of what lies
// between the two, one for NULL, and an observed step executes other instructions than a plain one.
static inline void spk_observe_operation(spk_observer observer, void *context, uint32_t operation) {
  SPK_HIDE(observer);
  if (observer == NULL) return;
  const spk_layer_view view = {operation, 0, 0, 0, 0, NULL, NULL, SPK_F32};
  observer(context, &view);
}

// Shows one layer to `observer`, unless that is NULL. Arguments are the view's fields in order.
static inline void spk_observe(spk_observer observer, void *context, uint32_t operation,
                               uint32_t neurons, uint32_t layer, uint32_t count,
                               uint32_t index_bytes, const void *spikes, const void *membrane,
                               spk_number number) {
  SPK_HIDE(observer);
  if (observer == NULL) return;
  const spk_layer_view view = {operation,   neurons, layer,    count,
                               index_bytes, spikes,  membrane, number};
  observer(context, &view);
}

#endif  // SPK_OBSERVER_H_
