// SPDX-License-Identifier: Apache-2.0
// The event front end: bins a sensor's events (x, y, polarity, time) into one time step's inputs.
#ifndef SPK_WINDOW_H_
#define SPK_WINDOW_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_spikes.h"
#include "spk_status.h"

// One event of a sensor. Time is in microseconds from the start of the recording, which must end
// before 2^32 of them (71 minutes) are over: reset the window then.
typedef struct spk_event {
  uint16_t x;
  uint16_t y;
  uint8_t polarity;  // 0 or 1
  uint32_t time_us;
} spk_event;

// One window of time under way. The caller owns it and `counts`, which holds
// height * width * 2 bytes in the network's memory order [y][x][polarity].
typedef struct spk_window {
  uint16_t width;
  uint16_t height;
  uint32_t length_us;  // how long one time step lasts
  uint32_t start_us;   // where the window under way begins
  uint8_t *counts;
} spk_window;

// Starts at time 0 with an empty window.
SPK_MUST_USE static inline spk_status spk_window_reset(spk_window *window) {
  if (window == NULL || window->counts == NULL) return SPK_NULL_ARGUMENT;
  window->start_us = 0;
  memset(window->counts, 0, (size_t)window->width * window->height * 2u);
  return SPK_OK;
}

// Adds one event. SPK_WINDOW_OVER says that the event belongs to a later window: take this
// one first, then add the event again. A pixel counts at most 255 events in one window.
SPK_MUST_USE static inline spk_status spk_window_add(spk_window *window, spk_event event) {
  if (window == NULL || window->counts == NULL) return SPK_NULL_ARGUMENT;
  if (event.x >= window->width || event.y >= window->height || event.polarity > 1) {
    return SPK_INDEX_OUT_OF_RANGE;
  }
  if (event.time_us < window->start_us) return SPK_TIME_RUNS_BACK;
  if (event.time_us - window->start_us >= window->length_us) return SPK_WINDOW_OVER;
  uint8_t *count =
      &window->counts[((size_t)event.y * window->width + event.x) * 2u + event.polarity];
  if (*count < UINT8_MAX) (*count)++;
  return SPK_OK;
}

// Ends the window: writes its active inputs, sorted, to `active` (room for height * width * 2),
// their number to `count`, clears the counts and moves on by one window.
SPK_MUST_USE static inline spk_status spk_window_take(spk_window *window, spk_active *active,
                                                      size_t *count) {
  if (window == NULL || window->counts == NULL || active == NULL || count == NULL) {
    return SPK_NULL_ARGUMENT;
  }
  const uint32_t inputs = (uint32_t)window->width * window->height * 2u;
  size_t found = 0;
  for (uint32_t i = 0; i < inputs; i++) {
    if (window->counts[i] == 0) continue;
    active[found].index = i;
    active[found].value = (float)window->counts[i];
    found++;
    window->counts[i] = 0;
  }
  *count = found;
  window->start_us += window->length_us;
  return SPK_OK;
}

#endif  // SPK_WINDOW_H_
