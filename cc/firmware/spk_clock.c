// SPDX-License-Identifier: Apache-2.0
// Times a network's operations on the host with the monotonic clock.
#define _POSIX_C_SOURCE 199309L
#include "spk_clock.h"

#include <time.h>

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t spk_clock_cost(void) {
  uint64_t least = UINT64_MAX;
  for (int i = 0; i < 1000; i++) {
    const uint64_t start = now();
    const uint64_t spent = now() - start;
    least = spent < least ? spent : least;
  }
  return least;
}

static void lap(void *context, const spk_layer_view *view) {
  uint64_t *laps = context;
  laps[view->operation] = now();
}

spk_status spk_clock_drive(const spk_model *model, void *state, const spk_active *active,
                           const uint64_t *offsets, size_t steps, uint32_t marks, uint8_t *spikes,
                           uint64_t *plain, uint64_t *laps) {
  spk_status status = model->reset(state);
  for (size_t t = 0; t < steps && status == SPK_OK; t++) {
    const size_t count = (size_t)(offsets[t + 1] - offsets[t]);
    const uint64_t start = now();
    status = model->step(state, active + offsets[t], count, spikes);
    plain[t] = now() - start;
  }
  if (status == SPK_OK) status = model->reset(state);
  for (size_t t = 0; t < steps && status == SPK_OK; t++, laps += marks) {
    const size_t count = (size_t)(offsets[t + 1] - offsets[t]);
    const uint64_t start = now();
    status = model->step_observed(state, active + offsets[t], count, spikes, lap, laps);
    laps[marks - 1] = now();
    for (uint32_t i = marks - 1; i > 0; i--) laps[i] -= laps[i - 1];
    laps[0] -= start;
  }
  return status;
}
