// SPDX-License-Identifier: Apache-2.0
// The hand-written network: every weight follows from its position.
#include "fake_model.h"

#include <string.h>

#include "spk_strict.h"

static const float fake_beta = 0.9f;
static const uint32_t fake_neurons[2] = {FAKE_HIDDEN, FAKE_OUTPUTS};

#define WEIGHT(from, to) ((float)(((from) * 7 + (to) * 5) % 11) * 0.1f - 0.3f)
#define ROW_3(from) {WEIGHT(from, 0), WEIGHT(from, 1), WEIGHT(from, 2)}
#define ROW_6(from)                                   \
  {WEIGHT(from, 0), WEIGHT(from, 1), WEIGHT(from, 2), \
   WEIGHT(from, 3), WEIGHT(from, 4), WEIGHT(from, 5)}

// [in][out], named as the generator names its tables.
static const float linear1_weight[FAKE_INPUTS][FAKE_HIDDEN] = {
    ROW_6(0), ROW_6(1), ROW_6(2), ROW_6(3), ROW_6(4), ROW_6(5), ROW_6(6), ROW_6(7)};
static const float linear2_weight[FAKE_HIDDEN][FAKE_OUTPUTS] = {ROW_3(3), ROW_3(4), ROW_3(5),
                                                                ROW_3(6), ROW_3(7), ROW_3(8)};

static spk_status fake_reset(void *state) {
  if (state == NULL) return SPK_NULL_ARGUMENT;
  memset(state, 0, sizeof(fake_state));
  return SPK_OK;
}

// What a network refuses: see NAME_step in a generated header.
static spk_status fake_check(const spk_active *active, size_t count) {
  if (active == NULL && count != 0) return SPK_NULL_ARGUMENT;
  if (count > FAKE_INPUTS) return SPK_TOO_MANY_INPUTS;
  for (size_t i = 0; i < count; i++) {
    if (active[i].index >= FAKE_INPUTS) return SPK_INDEX_OUT_OF_RANGE;
    if (i != 0 && active[i].index <= active[i - 1].index) return SPK_NOT_ASCENDING;
    if (!(active[i].value - active[i].value == 0.0f)) return SPK_NOT_FINITE;
  }
  return SPK_OK;
}

static spk_status fake_step_observed(void *state, const spk_active *active, size_t count,
                                     uint8_t *spikes, spk_observer observer, void *context) {
  if (state == NULL || spikes == NULL) return SPK_NULL_ARGUMENT;
  const spk_status status = fake_check(active, count);
  if (status != SPK_OK) return status;
  spk_observe_operation(observer, context, 0);
  fake_state *s = state;
  uint32_t hidden = 0;
  for (uint32_t to = 0; to < FAKE_HIDDEN; to++) {
    float current = 0.05f;
    for (size_t i = 0; i < count; i++) {
      current += active[i].value * linear1_weight[active[i].index][to];
    }
    const float reset = s->hidden[to] > 1.0f ? 1.0f : 0.0f;
    s->hidden[to] = fake_beta * s->hidden[to] + current - reset;
    if (s->hidden[to] > 1.0f) s->hidden_spikes[hidden++] = (uint16_t)to;
  }
  spk_observe(observer, context, 1, FAKE_HIDDEN, 0, hidden, 2, s->hidden_spikes, s->hidden,
              SPK_F32);
  uint32_t out = 0;
  for (uint32_t to = 0; to < FAKE_OUTPUTS; to++) {
    float current = -0.02f;
    for (uint32_t i = 0; i < hidden; i++) current += linear2_weight[s->hidden_spikes[i]][to];
    const float reset = s->out[to] > 1.0f ? 1.0f : 0.0f;
    s->out[to] = fake_beta * s->out[to] + current - reset;
    spikes[to] = s->out[to] > 1.0f;
    if (spikes[to]) s->out_spikes[out++] = to;
  }
  spk_observe(observer, context, 2, FAKE_OUTPUTS, 1, out, 4, s->out_spikes, s->out, SPK_F32);
  return SPK_OK;
}

static spk_status fake_step(void *state, const spk_active *active, size_t count, uint8_t *spikes) {
  return fake_step_observed(state, active, count, spikes, NULL, NULL);
}

static spk_status fake_step_frame(void *state, const float *frame, uint8_t *spikes) {
  if (frame == NULL) return SPK_NULL_ARGUMENT;
  spk_active active[FAKE_INPUTS];
  size_t count = 0;
  for (uint32_t i = 0; i < FAKE_INPUTS; i++) {
    if (frame[i] > 0.0f || frame[i] < 0.0f) {
      active[count++] = (spk_active){.index = i, .value = frame[i]};
    }
  }
  return fake_step(state, active, count, spikes);
}

const spk_model fake_model = {
    .name = "fake",
    .inputs = FAKE_INPUTS,
    .outputs = FAKE_OUTPUTS,
    .layers = 2,
    .neurons = fake_neurons,
    .state_bytes = sizeof(fake_state),
    .reset = fake_reset,
    .step = fake_step,
    .step_frame = fake_step_frame,
    .step_observed = fake_step_observed,
};
