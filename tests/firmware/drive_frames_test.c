// SPDX-License-Identifier: Apache-2.0
// Tests of spk_drive.h's contract on the hand-written network: arguments, and what an error leaves.
#include <math.h>
#include <string.h>

#include "board.h"
#include "fake_model.h"
#include "spk_drive.h"

enum { STEPS = 3, NEURONS = FAKE_HIDDEN + FAKE_OUTPUTS, UNTOUCHED = 7 };

static int failures;
static fake_state state;
static float frames[STEPS * FAKE_INPUTS];
static spk_active active[FAKE_INPUTS];
static uint8_t spikes[STEPS * FAKE_OUTPUTS];
static uint8_t layer_spikes[STEPS * NEURONS];
static float membranes[STEPS * NEURONS];

static void expect(bool holds, const char *sentence) {
  if (holds) return;
  failures++;
  spk_board_print("FAILED: ");
  spk_board_print(sentence);
  spk_board_print("\n");
}

static bool untouched(const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (bytes[i] != UNTOUCHED) return false;
  }
  return true;
}

static void fill(void) {
  memset(&state, UNTOUCHED, sizeof state);
  memset(spikes, UNTOUCHED, sizeof spikes);
  memset(layer_spikes, UNTOUCHED, sizeof layer_spikes);
}

// Whether the driver answers so and leaves everything as it was.
static bool refuses(spk_status expected, const spk_model *model, void *to, const float *from,
                    uint32_t channels, spk_active *list, uint8_t *out) {
  fill();
  return spk_drive_frames(model, to, from, channels, STEPS, list, out, layer_spikes, NULL) ==
             expected &&
         untouched((const uint8_t *)&state, sizeof state) && untouched(spikes, sizeof spikes) &&
         untouched(layer_spikes, sizeof layer_spikes);
}

static void bad_arguments_write_nothing(void) {
  const spk_model *model = &fake_model;
  const spk_status null = SPK_NULL_ARGUMENT;
  expect(refuses(null, NULL, &state, frames, 2, active, spikes), "model is checked");
  expect(refuses(null, model, NULL, frames, 2, active, spikes), "state is checked");
  expect(refuses(null, model, &state, NULL, 2, active, spikes), "frames is checked");
  expect(refuses(null, model, &state, frames, 2, NULL, spikes), "active is checked");
  expect(refuses(null, model, &state, frames, 2, active, NULL), "spikes is checked");
  const spk_status range = SPK_INDEX_OUT_OF_RANGE;
  expect(refuses(range, model, &state, frames, 0, active, spikes), "no channels are refused");
  expect(refuses(range, model, &state, frames, 3, active, spikes), "8 inputs have no 3 channels");
  const spk_record record = {NULL, NULL};
  expect(spk_drive_step(NULL, &state, active, 0, spikes, &record) == null, "step checks model");
  expect(spk_drive_step(model, &state, active, 0, spikes, NULL) == null, "step checks record");
}

static void no_steps_need_no_frames(void) {
  expect(spk_drive_frames(&fake_model, &state, NULL, 2, 0, NULL, NULL, NULL, NULL) == SPK_OK,
         "an empty recording is no error");
}

static void an_error_keeps_the_rows_before_it(void) {
  fill();
  frames[2 * FAKE_INPUTS] = NAN;
  expect(spk_drive_frames(&fake_model, &state, frames, 2, STEPS, active, spikes, layer_spikes,
                          membranes) == SPK_NOT_FINITE,
         "a value that is not finite is refused");
  expect(spikes[2 * FAKE_OUTPUTS - 1] <= 1 && layer_spikes[2 * NEURONS - 1] <= 1,
         "earlier steps are kept");
  expect(untouched(spikes + 2 * FAKE_OUTPUTS, FAKE_OUTPUTS) &&
             untouched(layer_spikes + 2 * NEURONS, NEURONS),
         "the step that failed has written nothing");
}

int spk_main(int count, const char *const *arguments) {
  (void)count;
  (void)arguments;
  bad_arguments_write_nothing();
  no_steps_need_no_frames();
  an_error_keeps_the_rows_before_it();
  return failures == 0 ? 0 : 1;
}
