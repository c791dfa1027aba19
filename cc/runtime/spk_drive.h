// SPDX-License-Identifier: Apache-2.0
// Drives a compiled network over a whole recording and keeps what its layers did.
#ifndef SPK_DRIVE_H_
#define SPK_DRIVE_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_model.h"

// Where the results of one time step go; either may be NULL. Layers follow one another in each
// row; within a layer, memory order [y][x][c].
typedef struct spk_record {
  uint8_t *spikes;    // [all spiking layers' neurons], 0 or 1
  float *membranes;   // [all spiking layers' neurons]
} spk_record;

// Neurons in all spiking layers together: the length of one row of a spk_record.
uint32_t spk_model_neurons(const spk_model *model);

// One observed step. `spikes` takes [outputs] bytes, `record` this step's rows.
SPK_MUST_USE spk_status spk_drive_step(const spk_model *model, void *state,
                                       const spk_active *active, size_t count, uint8_t *spikes,
                                       const spk_record *record);

// Resets `state`, then steps through a recording. Step t's active inputs are
// active[offsets[t] .. offsets[t + 1]); `offsets` has steps + 1 entries. `spikes` is
// [steps][outputs]. Stops at the first error.
SPK_MUST_USE spk_status spk_drive(const spk_model *model, void *state, const spk_active *active,
                                  const uint64_t *offsets, size_t steps, uint8_t *spikes);

// spk_drive that also keeps every spiking layer: spikes [steps][neurons] and
// membranes [steps][neurons], either of which may be NULL.
SPK_MUST_USE spk_status spk_drive_recorded(const spk_model *model, void *state,
                                           const spk_active *active, const uint64_t *offsets,
                                           size_t steps, uint8_t *spikes, uint8_t *layer_spikes,
                                           float *membranes);

#endif  // SPK_DRIVE_H_
