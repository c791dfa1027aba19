// SPDX-License-Identifier: Apache-2.0
// One handle for any compiled network, for drivers that serve them all: tests, benchmarks, Python.
// Firmware calls the generated NAME_step() itself and does not need this.
#ifndef SPK_MODEL_H_
#define SPK_MODEL_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_observer.h"
#include "spk_spikes.h"
#include "spk_status.h"

// A compiled network. `state` always points to `state_bytes` bytes aligned for any object.
typedef struct spk_model {
  const char *name;
  uint32_t inputs;          // values in one input frame, memory order [y][x][c]
  uint32_t outputs;         // neurons of the last layer
  uint32_t layers;          // number of spiking layers
  const uint32_t *neurons;  // [layers]
  size_t state_bytes;
  spk_status (*reset)(void *state);
  spk_status (*step)(void *state, const spk_active *active, size_t count, uint8_t *spikes);
  spk_status (*step_frame)(void *state, const float *frame, uint8_t *spikes);
  // Like step; also shows every operation to `observer`, spiking layers with their neurons.
  spk_status (*step_observed)(void *state, const spk_active *active, size_t count, uint8_t *spikes,
                              spk_observer observer, void *context);
} spk_model;

#endif  // SPK_MODEL_H_
