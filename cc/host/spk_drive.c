// SPDX-License-Identifier: Apache-2.0
// Drives a compiled network over a whole recording and keeps what its layers did.
#include "spk_drive.h"

#include <string.h>

#include "spk_frame.h"

typedef struct spk_row {
  const spk_model *model;
  spk_record record;
} spk_row;

// Writes membranes to a record: a float's bits as they are, integers in int32.
static void spk_row_membranes(const spk_layer_view *view, void *to) {
  if (view->number == SPK_I16) {
    const int16_t *membrane = view->membrane;
    int32_t *wide = to;
    for (uint32_t i = 0; i < view->neurons; i++) wide[i] = membrane[i];
  } else {
    memcpy(to, view->membrane, (size_t)view->neurons * 4u);
  }
}

static void spk_row_observe(void *context, const spk_layer_view *view) {
  const spk_row *row = context;
  if (view->neurons == 0) return;  // no spiking layer
  size_t start = 0;
  for (uint32_t i = 0; i < view->layer; i++) start += row->model->neurons[i];
  if (row->record.spikes != NULL) {
    uint8_t *spikes = row->record.spikes + start;
    memset(spikes, 0, view->neurons);
    for (uint32_t i = 0; i < view->count; i++) {
      spikes[view->index_bytes == 2 ? ((const uint16_t *)view->spikes)[i]
                                    : ((const uint32_t *)view->spikes)[i]] = 1;
    }
  }
  if (row->record.membranes != NULL) {
    spk_row_membranes(view, (uint8_t *)row->record.membranes + start * 4u);
  }
}

uint32_t spk_model_neurons(const spk_model *model) {
  uint32_t neurons = 0;
  for (uint32_t i = 0; i < model->layers; i++) neurons += model->neurons[i];
  return neurons;
}

spk_status spk_drive_step(const spk_model *model, void *state, const spk_active *active,
                          size_t count, uint8_t *spikes, const spk_record *record) {
  if (model == NULL || record == NULL) return SPK_NULL_ARGUMENT;
  spk_row row = {model, *record};
  return model->step_observed(state, active, count, spikes, spk_row_observe, &row);
}

spk_status spk_drive_frames(const spk_model *model, void *state, const float *frames,
                            uint32_t channels, size_t steps, spk_active *active, uint8_t *spikes,
                            uint8_t *layer_spikes, void *membranes) {
  if (model == NULL || state == NULL) return SPK_NULL_ARGUMENT;
  if (steps != 0 && (frames == NULL || active == NULL || spikes == NULL)) return SPK_NULL_ARGUMENT;
  if (channels == 0 || model->inputs % channels != 0) return SPK_INDEX_OUT_OF_RANGE;
  const uint32_t neurons = spk_model_neurons(model);
  spk_status status = model->reset(state);
  for (size_t t = 0; t < steps && status == SPK_OK; t++) {
    const size_t count = spk_active_from_frame(frames + t * model->inputs, channels,
                                               model->inputs / channels, active);
    uint8_t *out = spikes + t * model->outputs;
    if (layer_spikes == NULL && membranes == NULL) {
      status = model->step(state, active, count, out);
    } else {
      const spk_record record = {
          layer_spikes == NULL ? NULL : layer_spikes + t * neurons,
          membranes == NULL ? NULL : (uint8_t *)membranes + t * neurons * 4u};
      status = spk_drive_step(model, state, active, count, out, &record);
    }
  }
  return status;
}
