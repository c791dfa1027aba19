// SPDX-License-Identifier: Apache-2.0
// Runs every kernel case against what the reference computed, bit for bit, and holds the C
// interface to its word on errors; then the event front end. The same program on every board.
//
// Prints the first difference of each network with its place, and one line at the end. Exit
// status: 0 when everything is equal, 1 when anything differs.
#include <string.h>

#include "board.h"
#include "kernel_case.h"
#include "kernel_level.h"
#include "say.h"
#include "spk_level.h"
#include "spk_window.h"

enum {
  UNTOUCHED = 0x5a,  // fills the outputs before a call
  LAG = 2            // steps between two recordings that run side by side
};

// How a step is made.
typedef enum way { OBSERVED, PLAIN, FRAME, WAYS } way;
static const char *const way_name[WAYS] = {"step_observed", "step", "step_frame"};

// The board's spare memory, divided for one network.
typedef struct buffers {
  spk_active *active;  // [inputs + 1]
  float *frame;        // [inputs]
  uint8_t *state;      // [state_bytes], a copy
  uint8_t *spikes;     // [outputs]
} buffers;

static buffers room;
static uint32_t neuron_steps;
static uint32_t refusals;

static void print_number(const char *before, uint32_t number) {
  char digits[SPK_SAY_ROOM];
  spk_board_print(before);
  spk_board_print(spk_say_decimal(digits, number));
}

static void print_bits(const char *before, uint32_t bits) {
  char digits[SPK_SAY_ROOM];
  spk_board_print(before);
  spk_board_print(spk_say_hex(digits, bits));
}

// Begins the line of a failure.
static void fail(const char *name, const char *what) {
  spk_board_print("FAILED: ");
  spk_board_print(name);
  spk_board_print(": ");
  spk_board_print(what);
}

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Widest type first, so that every buffer is aligned; false when the board has too little.
static bool claim(const spk_model *model) {
  size_t bytes = 0;
  uint8_t *spare = spk_board_spare(&bytes);
  const size_t need = (model->inputs + 1u) * sizeof(spk_active) + model->inputs * sizeof(float) +
                      model->state_bytes + model->outputs;
  if (need > bytes) return false;
  room.active = (spk_active *)(void *)spare;
  room.frame = (float *)(void *)(room.active + model->inputs + 1);
  room.state = (uint8_t *)(room.frame + model->inputs);
  room.spikes = room.state + model->state_bytes;
  return true;
}

// What is expected of the layers of the step under way.
typedef struct watch {
  const kernel_case *row;
  uint32_t step;
  uint32_t layer;  // the next one to be shown
  const uint8_t *spikes;
  const uint32_t *membranes;
  bool right;
} watch;

static void fail_layer(watch *w, uint32_t neuron, const char *what, uint32_t got, uint32_t wanted) {
  w->right = false;
  fail(w->row->name, way_name[OBSERVED]);
  print_number(", step ", w->step);
  print_number(", layer ", w->layer);
  print_number(", neuron ", neuron);
  spk_board_print(what);
  print_bits(" ", got);
  print_bits(", expected ", wanted);
  spk_board_print("\n");
}

static uint32_t position(const spk_layer_view *view, uint32_t i) {
  return view->index_bytes == 2 ? ((const uint16_t *)view->spikes)[i]
                                : ((const uint32_t *)view->spikes)[i];
}

// A membrane as the table has it: a float's bits as they are, integers in int32.
static uint32_t membrane_bits(const spk_layer_view *view, uint32_t n) {
  switch (view->number) {
    case SPK_F32:
      return bits_of(((const float *)view->membrane)[n]);
    case SPK_I16:
      return (uint32_t)((const int16_t *)view->membrane)[n];
    default:
      return (uint32_t)((const int32_t *)view->membrane)[n];
  }
}

static void watch_layer(void *context, const spk_layer_view *view) {
  watch *w = context;
  const spk_model *model = w->row->model;
  if (!w->right || view->neurons == 0) return;
  if (view->layer != w->layer || view->layer >= model->layers ||
      view->neurons != model->neurons[view->layer] || view->count > view->neurons ||
      (view->number == SPK_F32) == w->row->whole) {
    fail_layer(w, 0, ": another layer, or one of another kind, is shown:", view->layer, w->layer);
    return;
  }
  uint32_t next = 0;
  for (uint32_t n = 0; n < view->neurons; n++) {
    const bool listed = next < view->count && position(view, next) == n;
    next += listed;
    const uint32_t bits = membrane_bits(view, n);
    if (bits != w->membranes[n]) {
      fail_layer(w, n, ": membrane", bits, w->membranes[n]);
      return;
    }
    if (listed != (w->spikes[n] != 0)) {
      fail_layer(w, n, ": spike", listed, w->spikes[n]);
      return;
    }
  }
  if (next != view->count) {
    fail_layer(w, position(view, next), ": spikes that are listed in rising order", next,
               view->count);
    return;
  }
  w->layer++;
  w->spikes += view->neurons;
  w->membranes += view->neurons;
  neuron_steps += view->neurons;
}

static uint32_t neurons_of(const spk_model *model) {
  uint32_t neurons = 0;
  for (uint32_t i = 0; i < model->layers; i++) neurons += model->neurons[i];
  return neurons;
}

// Makes one step of the recording on `state`; whether all that it shows is as expected.
static bool play(const kernel_case *row, way how, uint32_t step, void *state) {
  const spk_model *model = row->model;
  const spk_active *active = row->active + row->offsets[step];
  const uint32_t count = row->offsets[step + 1] - row->offsets[step];
  const size_t start = (size_t)step * neurons_of(model);
  watch w = {row, step, 0, row->spikes + start, row->membranes + start, true};
  spk_status status = SPK_OK;
  memset(room.spikes, UNTOUCHED, model->outputs);
  if (how == OBSERVED) {
    status = model->step_observed(state, active, count, room.spikes, watch_layer, &w);
  } else if (how == PLAIN) {
    // An empty list needs no address.
    status = model->step(state, count == 0 ? NULL : active, count, room.spikes);
  } else {
    // A zero means nothing, whatever its sign.
    for (uint32_t i = 0; i < model->inputs; i++) room.frame[i] = i % 2 == 0 ? -0.0f : 0.0f;
    for (uint32_t i = 0; i < count; i++) room.frame[active[i].index] = active[i].value;
    status = model->step_frame(state, room.frame, room.spikes);
  }
  if (!w.right) return false;
  if (status != SPK_OK || (how == OBSERVED && w.layer != model->layers)) {
    fail(row->name, way_name[how]);
    print_number(", step ", step);
    print_number(": ends with status ", (uint32_t)status);
    print_number(" after showing layers: ", w.layer);
    spk_board_print("\n");
    return false;
  }
  const uint8_t *outputs = row->outputs + (size_t)step * model->outputs;
  for (uint32_t i = 0; i < model->outputs; i++) {
    if (room.spikes[i] == outputs[i]) continue;
    fail(row->name, way_name[how]);
    print_number(", step ", step);
    print_number(", output ", i);
    print_number(": ", room.spikes[i]);
    print_number(", expected ", outputs[i]);
    spk_board_print("\n");
    return false;
  }
  return true;
}

static bool reset(const kernel_case *row, void *state) {
  if (row->model->reset(state) == SPK_OK) return true;
  fail(row->name, "reset refuses a state\n");
  return false;
}

static bool every_way_gives_the_same(const kernel_case *row) {
  for (way how = PLAIN; how < WAYS; how++) {
    if (!reset(row, row->states[0]) || !reset(row, row->states[1])) return false;
    for (uint32_t t = 0; t < row->steps; t++) {
      if (!play(row, OBSERVED, t, row->states[0]) || !play(row, how, t, row->states[1])) {
        return false;
      }
      if (memcmp(row->states[0], row->states[1], row->model->state_bytes) == 0) continue;
      fail(row->name, way_name[how]);
      print_number(", step ", t);
      spk_board_print(": leaves another state than step_observed\n");
      return false;
    }
  }
  return true;
}

static bool two_states_do_not_disturb_each_other(const kernel_case *row) {
  if (!reset(row, row->states[0]) || !reset(row, row->states[1])) return false;
  for (uint32_t t = 0; t < row->steps + LAG; t++) {
    if (t < row->steps && !play(row, OBSERVED, t, row->states[0])) return false;
    if (t >= LAG && !play(row, OBSERVED, t - LAG, row->states[1])) return false;
  }
  return true;
}

static void count_call(void *context, const spk_layer_view *view) {
  (void)view;
  (*(uint32_t *)context)++;
}

// Whether a wrong call returned what it should and left the state and the outputs alone.
static bool refused(const kernel_case *row, const char *function, const char *what, spk_status got,
                    spk_status wanted) {
  bool same = memcmp(row->states[0], room.state, row->model->state_bytes) == 0;
  for (uint32_t i = 0; i < row->model->outputs; i++) same &= room.spikes[i] == UNTOUCHED;
  refusals++;
  if (got == wanted && same) return true;
  fail(row->name, function);
  spk_board_print(", ");
  spk_board_print(what);
  print_number(": status ", (uint32_t)got);
  print_number(", expected ", (uint32_t)wanted);
  spk_board_print(same ? "\n" : "; the state or the outputs were written\n");
  return false;
}

static bool list_refused(const kernel_case *row, const char *what, const spk_active *active,
                         size_t count, spk_status wanted) {
  const spk_model *model = row->model;
  void *const state = row->states[0];
  uint32_t calls = 0;
  if (!refused(row, way_name[PLAIN], what, model->step(state, active, count, room.spikes),
               wanted)) {
    return false;
  }
  const spk_status observed =
      model->step_observed(state, active, count, room.spikes, count_call, &calls);
  if (!refused(row, way_name[OBSERVED], what, observed, wanted)) return false;
  if (calls == 0) return true;
  fail(row->name, "step_observed shows layers although it refuses its input\n");
  return false;
}

// Two entries.
static bool pair_refused(const kernel_case *row, const char *what, spk_active first,
                         spk_active second, spk_status wanted) {
  const spk_active list[2] = {first, second};
  return list_refused(row, what, list, 2, wanted);
}

static bool one_refused(const kernel_case *row, const char *what, spk_active entry,
                        spk_status wanted) {
  return list_refused(row, what, &entry, 1, wanted);
}

static bool null_is_refused(const kernel_case *row) {
  const spk_model *model = row->model;
  void *const state = row->states[0];
  uint8_t *const spikes = room.spikes;
  const spk_active good = {0, 1.0f};
  memset(room.frame, 0, model->inputs * sizeof(float));
  const char *const no_state = "without a state";
  const char *const no_spikes = "without outputs";
  return refused(row, "reset", no_state, model->reset(NULL), SPK_NULL_ARGUMENT) &&
         refused(row, "step", no_state, model->step(NULL, &good, 1, spikes), SPK_NULL_ARGUMENT) &&
         refused(row, "step", no_spikes, model->step(state, &good, 1, NULL), SPK_NULL_ARGUMENT) &&
         refused(row, "step_observed", no_state,
                 model->step_observed(NULL, &good, 1, spikes, NULL, NULL), SPK_NULL_ARGUMENT) &&
         refused(row, "step_observed", no_spikes,
                 model->step_observed(state, &good, 1, NULL, NULL, NULL), SPK_NULL_ARGUMENT) &&
         refused(row, "step_frame", no_state, model->step_frame(NULL, room.frame, spikes),
                 SPK_NULL_ARGUMENT) &&
         refused(row, "step_frame", no_spikes, model->step_frame(state, room.frame, NULL),
                 SPK_NULL_ARGUMENT) &&
         refused(row, "step_frame", "without a frame", model->step_frame(state, NULL, spikes),
                 SPK_NULL_ARGUMENT) &&
         list_refused(row, "without a list", NULL, 1, SPK_NULL_ARGUMENT);
}

static bool wrong_lists_are_refused(const kernel_case *row) {
  const uint32_t inputs = row->model->inputs;
  const spk_active first = {0, 1.0f}, second = {1, 1.0f}, last = {inputs - 1, 1.0f};
  const spk_active beyond = {inputs, 1.0f}, far_beyond = {UINT32_MAX, 1.0f};
  for (uint32_t i = 0; i <= inputs; i++) room.active[i] = (spk_active){i, 1.0f};
  return list_refused(row, "one entry too many", room.active, inputs + 1u, SPK_TOO_MANY_INPUTS) &&
         list_refused(row, "far too many entries", room.active, SIZE_MAX, SPK_TOO_MANY_INPUTS) &&
         one_refused(row, "an index out of range", beyond, SPK_INDEX_OUT_OF_RANGE) &&
         one_refused(row, "an index far out of range", far_beyond, SPK_INDEX_OUT_OF_RANGE) &&
         pair_refused(row, "a later index out of range", last, beyond, SPK_INDEX_OUT_OF_RANGE) &&
         pair_refused(row, "unsorted entries", second, first, SPK_NOT_ASCENDING) &&
         pair_refused(row, "unsorted entries", last, first, SPK_NOT_ASCENDING) &&
         pair_refused(row, "the same entry twice", first, first, SPK_NOT_ASCENDING) &&
         pair_refused(row, "the last entry twice", last, last, SPK_NOT_ASCENDING);
}

static bool values_that_are_not_finite_are_refused(const kernel_case *row) {
  static const uint32_t bits[] = {0x7fc00000u, 0xffc00001u, 0x7f800000u, 0xff800000u};
  const spk_model *model = row->model;
  const uint32_t end = model->inputs - 1;
  const spk_active good = {0, 1.0f};
  memset(room.frame, 0, model->inputs * sizeof(float));
  for (uint32_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
    const float value = float_of(bits[i]);
    if (!one_refused(row, "a value not finite", (spk_active){0, value}, SPK_NOT_FINITE) ||
        !pair_refused(row, "a later value not finite", good, (spk_active){end, value},
                      SPK_NOT_FINITE)) {
      return false;
    }
    for (uint32_t at = 0; at <= end; at += end) {
      room.frame[at] = value;
      const spk_status status = model->step_frame(row->states[0], room.frame, room.spikes);
      room.frame[at] = 0.0f;
      if (!refused(row, "step_frame", "a value not finite", status, SPK_NOT_FINITE)) return false;
    }
  }
  return true;
}

// One value in a list and in a frame, at the first input and at the last.
static bool value_refused(const kernel_case *row, const char *what, float value) {
  const uint32_t end = row->model->inputs - 1;
  const spk_active good = {0, 1.0f};
  memset(room.frame, 0, row->model->inputs * sizeof(float));
  if (!one_refused(row, what, (spk_active){0, value}, SPK_OUT_OF_RANGE) ||
      !pair_refused(row, what, good, (spk_active){end, value}, SPK_OUT_OF_RANGE)) {
    return false;
  }
  for (uint32_t at = 0; at <= end; at += end) {
    room.frame[at] = value;
    const spk_status status = row->model->step_frame(row->states[0], room.frame, room.spikes);
    room.frame[at] = 0.0f;
    if (!refused(row, "step_frame", what, status, SPK_OUT_OF_RANGE)) return false;
  }
  return true;
}

static bool values_out_of_range_are_refused(const kernel_case *row) {
  if (row->most == 0) return true;  // it takes every number
  const float most = (float)row->most;
  return value_refused(row, "a value below 0", -1.0f) &&
         value_refused(row, "a value just below 0", -float_of(1)) &&
         value_refused(row, "a value too large by 1", most + 1.0f) &&
         value_refused(row, "a value just too large", float_of(bits_of(most) + 1)) &&
         value_refused(row, "the largest value", float_of(0x7f7fffffu)) &&
         (!row->whole || (value_refused(row, "a half", most - 0.5f) &&
                          value_refused(row, "almost 0", float_of(1)) &&
                          value_refused(row, "almost 1", float_of(bits_of(1.0f) - 1))));
}

// Wrong calls in the middle of a recording, which then goes on as if there had been none.
static bool wrong_calls_change_nothing(const kernel_case *row) {
  const uint32_t middle = row->steps / 2;
  if (!reset(row, row->states[0])) return false;
  for (uint32_t t = 0; t < middle; t++) {
    if (!play(row, OBSERVED, t, row->states[0])) return false;
  }
  memcpy(room.state, row->states[0], row->model->state_bytes);
  memset(room.spikes, UNTOUCHED, row->model->outputs);
  if (!null_is_refused(row) || !wrong_lists_are_refused(row) ||
      !values_that_are_not_finite_are_refused(row) || !values_out_of_range_are_refused(row)) {
    return false;
  }
  for (uint32_t t = middle; t < row->steps; t++) {
    if (!play(row, OBSERVED, t, row->states[0])) return false;
  }
  return true;
}

// A step more than the network has parameters for.
static bool the_step_after_the_last_is_refused(const kernel_case *row) {
  const spk_model *model = row->model;
  void *const state = row->states[0];
  if (!row->limited) return true;
  if (!reset(row, state)) return false;
  for (uint32_t t = 0; t < row->steps; t++) {
    if (!play(row, PLAIN, t, state)) return false;
  }
  memcpy(room.state, state, model->state_bytes);
  memset(room.spikes, UNTOUCHED, model->outputs);
  memset(room.frame, 0, model->inputs * sizeof(float));
  return list_refused(row, "a step too many", NULL, 0, SPK_TOO_MANY_STEPS) &&
         refused(row, "step_frame", "a step too many",
                 model->step_frame(state, room.frame, room.spikes), SPK_TOO_MANY_STEPS) &&
         reset(row, state) && play(row, PLAIN, 0, state);
}

static bool run(const kernel_case *row) {
  const spk_model *model = row->model;
  if (!claim(model) || model->inputs < 2) {
    fail(row->name, "the board's memory is too small, or there are too few inputs to test\n");
    return false;
  }
  // A reset must clear whatever was there: every float of this is not a number, every integer -1.
  for (int i = 0; i < 2; i++) memset(row->states[i], 0xff, model->state_bytes);
  return every_way_gives_the_same(row) && two_states_do_not_disturb_each_other(row) &&
         wrong_calls_change_nothing(row) && the_step_after_the_last_is_refused(row);
}

enum { WIDTH = 3, HEIGHT = 2, PIXELS = WIDTH * HEIGHT * 2, LENGTH_US = 1000 };

static uint32_t window_failures;

static void expect(bool holds, const char *sentence) {
  if (holds) return;
  window_failures++;
  fail("event front end", sentence);
  spk_board_print("\n");
}

// Whether a wrong call returned what it should and left the window and its counts alone.
static void window_refuses(spk_window *window, spk_event event, spk_status wanted,
                           const char *sentence) {
  uint8_t counts[PIXELS];
  const spk_window before = *window;
  memcpy(counts, window->counts, PIXELS);
  const spk_status got = spk_window_add(window, event);
  refusals++;
  expect(got == wanted, sentence);
  expect(memcmp(&before, window, sizeof before) == 0 && memcmp(counts, window->counts, PIXELS) == 0,
         "an event that is refused changes nothing");
}

static bool is_entry(spk_active entry, uint32_t index, uint32_t value) {
  return entry.index == index && bits_of(entry.value) == bits_of((float)value);
}

static void window_bins_events(void) {
  static uint8_t counts[PIXELS];
  static spk_active active[PIXELS];
  size_t count = 77;
  memset(counts, UNTOUCHED, sizeof counts);
  spk_window window = {WIDTH, HEIGHT, LENGTH_US, 12345, counts};
  expect(spk_window_reset(&window) == SPK_OK && window.start_us == 0, "reset starts at time 0");
  expect(spk_window_take(&window, active, &count) == SPK_OK && count == 0,
         "a window without events is empty after a reset");
  expect(window.start_us == LENGTH_US, "a window that is taken moves on by its length");

  // Against the order of memory, on both ends of the window.
  const spk_event events[] = {{2, 1, 1, 1000}, {2, 1, 0, 1999}, {0, 0, 1, 1000},
                              {1, 0, 0, 1500}, {2, 1, 0, 1001}, {0, 1, 0, 1999}};
  for (uint32_t i = 0; i < sizeof events / sizeof events[0]; i++) {
    expect(spk_window_add(&window, events[i]) == SPK_OK, "an event inside is taken");
  }
  for (int i = 0; i < 300; i++) {
    expect(spk_window_add(&window, (spk_event){1, 1, 1, 1234}) == SPK_OK,
           "an event on a full pixel is no error");
  }

  window_refuses(&window, (spk_event){WIDTH, 0, 0, 1500}, SPK_INDEX_OUT_OF_RANGE,
                 "x = width is outside");
  window_refuses(&window, (spk_event){0, HEIGHT, 0, 1500}, SPK_INDEX_OUT_OF_RANGE,
                 "y = height is outside");
  window_refuses(&window, (spk_event){0, 0, 2, 1500}, SPK_INDEX_OUT_OF_RANGE, "polarity is 0 or 1");
  window_refuses(&window, (spk_event){0, 0, 0, 999}, SPK_TIME_RUNS_BACK,
                 "the microsecond before the window is too early");
  window_refuses(&window, (spk_event){0, 0, 0, 2000}, SPK_WINDOW_OVER,
                 "the microsecond after the window is too late");
  window_refuses(&window, (spk_event){0, 0, 0, UINT32_MAX}, SPK_WINDOW_OVER,
                 "the last microsecond there is, is too late");

  expect(spk_window_take(&window, NULL, &count) == SPK_NULL_ARGUMENT &&
             spk_window_take(&window, active, NULL) == SPK_NULL_ARGUMENT &&
             spk_window_take(NULL, active, &count) == SPK_NULL_ARGUMENT && count == 0 &&
             window.start_us == LENGTH_US,
         "a window is not taken to nowhere");
  expect(spk_window_take(&window, active, &count) == SPK_OK && count == 6 &&
             is_entry(active[0], 1, 1) && is_entry(active[1], 2, 1) && is_entry(active[2], 6, 1) &&
             is_entry(active[3], 9, 255) && is_entry(active[4], 10, 2) &&
             is_entry(active[5], 11, 1),
         "a window is [y][x][polarity], sorted, and a pixel counts at most 255 events");
  expect(spk_window_take(&window, active, &count) == SPK_OK && count == 0,
         "a window is empty after it was taken");
  expect(window.start_us == 3 * LENGTH_US, "every window moves on by its length");
}

static void window_refuses_null(void) {
  const spk_event event = {0, 0, 0, 0};
  spk_window nowhere = {WIDTH, HEIGHT, LENGTH_US, 7, NULL};
  spk_active active[1];
  size_t count = 77;
  expect(spk_window_reset(NULL) == SPK_NULL_ARGUMENT &&
             spk_window_add(NULL, event) == SPK_NULL_ARGUMENT,
         "there must be a window");
  expect(spk_window_reset(&nowhere) == SPK_NULL_ARGUMENT &&
             spk_window_add(&nowhere, event) == SPK_NULL_ARGUMENT &&
             spk_window_take(&nowhere, active, &count) == SPK_NULL_ARGUMENT &&
             nowhere.start_us == 7 && count == 77,
         "a window must have room for its counts");
}

static int level = 1;  // of x86-64, that networks may use

int kernel_cpu_is(const char *name) { return name[sizeof "x86-64-v" - 1] - '0' <= level; }

// The highest level of this CPU.
#if defined(SPK_HAS_LEVELS)
static int highest_level(void) {
  if (__builtin_cpu_supports("x86-64-v4")) return 4;
  return __builtin_cpu_supports("x86-64-v3") ? 3 : 1;
}
#else
static int highest_level(void) { return 1; }
#endif

int spk_main(int count, const char *const *arguments) {
  (void)count;
  (void)arguments;
  window_bins_events();
  window_refuses_null();
  // Not a static variable: a network that writes beyond its state must not pass by clearing it.
  uint32_t failures = window_failures;
  for (; level <= highest_level(); level = level == 1 ? 3 : level + 1) {
    for (uint32_t i = 0; i < kernel_case_count; i++) {
      if (run(&kernel_cases[i])) continue;
      failures++;
      print_number("at level ", (uint32_t)level);
      spk_board_print("\n");
    }
  }
  print_number("kernels: ", kernel_case_count);
  print_number(" networks, ", neuron_steps);
  print_number(" neuron-steps equal to the reference bit for bit, ", refusals);
  print_number(" wrong calls refused, ", failures);
  spk_board_print(" failures\n");
  return failures == 0 ? 0 : 1;
}
