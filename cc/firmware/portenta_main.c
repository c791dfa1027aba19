// SPDX-License-Identifier: Apache-2.0
// The application: takes a sensor's events from the serial link, steps the network once a window,
// and answers with the class. Runs on every board.
//
// The other side sends frames and waits for one line after each:
//
//   u16 count (little-endian), then count events of 5 bytes   the next events, at most 256
//   u16 0                                                     the recording is over
//   u16 65535                                                 end the program
//
// An event is N-MNIST's: x, y, then big-endian one bit of polarity and 23 bits of microseconds;
// y = 240 marks that the sensor's clock wrapped: no pixel, and all later times are 2^13 us later.
// Time counts from the recording's first event; events after the last step are dropped.
//
// Answers: "ok" to events; at the end "class C spikes N N ... most M": the output that spiked most
// (the first of equals), every output's spikes, and the board's count for the costliest step; or
// "error: ..." to anything wrong, after which a new recording begins. Waiting for the line is the
// flow control: while the network works, nobody empties the port.
//
// spk_app_config.h is generated for each application:
//   enum { SPK_APP_WIDTH = 34, SPK_APP_HEIGHT = 34, SPK_APP_OUTPUTS = 10,
//          SPK_APP_STEPS = 50, SPK_APP_WINDOW_US = 6000 };
#include <string.h>

#include "board.h"
#include "say.h"
#include "spk_app_config.h"
#include "spk_target.h"
#include "spk_window.h"

enum {
  EVENT_BYTES = 5,
  FRAME_EVENTS = 256,
  FRAME_END = 0,
  FRAME_STOP = 65535,
  OVERFLOW_ROW = 240,
  OVERFLOW_US = 1 << 13,
  INPUTS = SPK_APP_WIDTH * SPK_APP_HEIGHT * 2
};

_Static_assert(SPK_APP_STEPS > 0, "a recording has at least one time step");
_Static_assert(SPK_APP_WINDOW_US > 0, "a time step lasts at least a microsecond");

typedef struct app {
  spk_window window;
  uint32_t step;      // windows done
  uint32_t clock_us;  // what the sensor's wrapped clock has lost
  uint32_t first_us;  // time of the first event
  uint32_t last_us;   // time of the last event
  bool started;       // whether there was a first event
  uint32_t most;      // the board's count for the costliest step
  uint32_t spikes[SPK_APP_OUTPUTS];
} app;

static uint8_t pixels[INPUTS];
static spk_active active[INPUTS];
static uint8_t frame[FRAME_EVENTS * EVENT_BYTES];

static spk_status app_reset(app *a) {
  memset(a, 0, sizeof *a);
  a->window = (spk_window){.width = SPK_APP_WIDTH,
                           .height = SPK_APP_HEIGHT,
                           .length_us = SPK_APP_WINDOW_US,
                           .counts = pixels};
  const spk_status status = spk_window_reset(&a->window);
  return status == SPK_OK ? spk_the_model->reset(spk_the_state) : status;
}

// Ends the window under way and steps the network.
static spk_status app_step(app *a) {
  uint8_t spikes[SPK_APP_OUTPUTS];
  size_t count = 0;
  spk_status status = spk_window_take(&a->window, active, &count);
  if (status != SPK_OK) return status;
  spk_board_counter_start();
  status = spk_the_model->step(spk_the_state, active, count, spikes);
  const uint64_t cost = spk_board_counter_stop();
  if (status != SPK_OK) return status;
  if (cost > a->most) a->most = cost > UINT32_MAX ? UINT32_MAX : (uint32_t)cost;
  for (int i = 0; i < SPK_APP_OUTPUTS; i++) a->spikes[i] += spikes[i];
  a->step++;
  return SPK_OK;
}

static spk_status app_event(app *a, const uint8_t bytes[EVENT_BYTES]) {
  if (bytes[1] == OVERFLOW_ROW) {
    a->clock_us += OVERFLOW_US;
    return SPK_OK;
  }
  const uint32_t time_us =
      a->clock_us + ((bytes[2] & 0x7fu) << 16 | (uint32_t)bytes[3] << 8 | bytes[4]);
  if (!a->started) a->first_us = a->last_us = time_us;
  a->started = true;
  if (time_us < a->last_us) return SPK_TIME_RUNS_BACK;
  a->last_us = time_us;
  const spk_event event = {
      .x = bytes[0], .y = bytes[1], .polarity = bytes[2] >> 7, .time_us = time_us - a->first_us};
  while (a->step < SPK_APP_STEPS) {
    spk_status status = spk_window_add(&a->window, event);
    if (status != SPK_WINDOW_OVER) return status;
    status = app_step(a);
    if (status != SPK_OK) return status;
  }
  return SPK_OK;
}

static void send_number(const char *before, uint32_t number) {
  char room[SPK_SAY_ROOM];
  spk_board_send(before);
  spk_board_send(spk_say_decimal(room, number));
}

// Runs the steps that are left, and answers.
static spk_status app_finish(app *a) {
  while (a->step < SPK_APP_STEPS) {
    const spk_status status = app_step(a);
    if (status != SPK_OK) return status;
  }
  uint32_t best = 0;
  for (uint32_t i = 1; i < SPK_APP_OUTPUTS; i++) {
    if (a->spikes[i] > a->spikes[best]) best = i;
  }
  send_number("class ", best);
  send_number(" spikes ", a->spikes[0]);
  for (uint32_t i = 1; i < SPK_APP_OUTPUTS; i++) send_number(" ", a->spikes[i]);
  send_number(" most ", a->most);
  spk_board_send("\n");
  return SPK_OK;
}

static int stop(const char *sentence) {
  spk_board_send(sentence);
  return 1;
}

// Receives a frame's events; more than fit are received and dropped, so that the next frame is
// found. False when the link failed.
static bool receive_events(uint32_t events) {
  if (events <= FRAME_EVENTS) return spk_board_receive(frame, events * EVENT_BYTES);
  for (uint32_t i = 0; i < events; i++) {
    if (!spk_board_receive(frame, EVENT_BYTES)) return false;
  }
  return true;
}

int spk_main(int count, const char *const *arguments) {
  (void)count;
  (void)arguments;
  static app a;
  if (spk_the_model->inputs != INPUTS || spk_the_model->outputs != SPK_APP_OUTPUTS) {
    return stop("error: spk_app_config.h was made for another network than the one linked in\n");
  }
  spk_status status = app_reset(&a);
  while (status == SPK_OK) {
    uint8_t head[2];
    if (!spk_board_receive(head, sizeof head)) return stop("error: the link lost bytes\n");
    const uint32_t events = (uint32_t)head[0] | (uint32_t)head[1] << 8;
    if (events == FRAME_STOP) return 0;
    if (!receive_events(events)) return stop("error: the link lost bytes\n");
    bool over = events == FRAME_END;
    if (events > FRAME_EVENTS) {
      spk_board_send("error: a frame holds at most 256 events\n");
      over = true;
    } else if (over && !a.started) {
      spk_board_send("error: the recording has no events\n");
    } else {
      for (uint32_t i = 0; i < events && status == SPK_OK; i++) {
        status = app_event(&a, frame + i * EVENT_BYTES);
      }
      if (status == SPK_OK && over) status = app_finish(&a);
      if (status != SPK_OK) {
        spk_board_send("error: ");
        spk_board_send(spk_say_status(status));
        spk_board_send("\n");
        over = true;
      } else if (!over) {
        spk_board_send("ok\n");
      }
    }
    if (over) status = app_reset(&a);
  }
  return stop("error: the network cannot be reset\n");
}
