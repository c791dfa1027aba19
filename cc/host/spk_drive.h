// SPDX-License-Identifier: Apache-2.0
// Drives a compiled network over a whole recording and keeps what its layers did.
#ifndef SPK_DRIVE_H_
#define SPK_DRIVE_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_model.h"

// Where the results of one time step go; either may be NULL. Layers follow one another in each
// row; within a layer, memory order [y][x][c]. Membranes are aligned as floats are.
typedef struct spk_record {
  uint8_t *spikes;  // [all spiking layers' neurons], 0 or 1
  void *membranes;  // [all spiking layers' neurons], 4 bytes each: float, or int32_t
} spk_record;

// Neurons in all spiking layers together: the length of one row of a spk_record.
uint32_t spk_model_neurons(const spk_model *model);

// One observed step. `spikes` takes [outputs] bytes, `record` this step's rows. An error writes
// nothing.
SPK_MUST_USE spk_status spk_drive_step(const spk_model *model, void *state,
                                       const spk_active *active, size_t count, uint8_t *spikes,
                                       const spk_record *record);

// Resets `state`, then steps through a recording: `frames` is [steps][channels][positions],
// channels * positions being the network's inputs, and `active` room for one frame's list.
// `spikes` takes [steps][outputs]. `layer_spikes` and `membranes`, [steps][neurons] each, may both
// be NULL; `frames`, `active` and `spikes` only when there are no steps. SPK_INDEX_OUT_OF_RANGE
// when `channels` is 0 or does not divide the network's inputs; like SPK_NULL_ARGUMENT it comes
// before anything is written. Any other error stops at its step: `state` is then as the steps
// before it left it, and their rows are kept.
SPK_MUST_USE spk_status spk_drive_frames(const spk_model *model, void *state, const float *frames,
                                         uint32_t channels, size_t steps, spk_active *active,
                                         uint8_t *spikes, uint8_t *layer_spikes, void *membranes);

#endif  // SPK_DRIVE_H_
