// SPDX-License-Identifier: Apache-2.0
// Runs the network over a recording in a file and writes what it did, step by step: the program
// behind parity tests and benchmarks, the same on the host and on the emulated board.
//
//   drive INPUT OUTPUT [--record | --marks]
//
// Every number is little-endian, without padding.
//
// INPUT   "SPKI", u32 version 1, u32 inputs, u32 steps,
//         u64 offsets[steps + 1]: step t's entries are offsets[t] .. offsets[t + 1] - 1,
//         entries {u32 index, f32 value}, sorted by index within a step
// OUTPUT  "SPKO", u32 version 2, u32 outputs, u32 layers, u32 neurons (of all layers), u32 steps,
//         u32 recorded (0 or 1), u32 status, u32 marks (a step, 0 without --marks), then each step:
//           u8  spikes[outputs]
//           u64 count: what the board counted in the network's step, 0 when it cannot count and 0
//               with --record, where the observer's work would count too
//           u64 marks[marks]
//           u8  layer_spikes[neurons], f32 or i32 membranes[neurons], only with --record: the
//               layers follow one another, in memory order [y][x][c] within a layer; membranes are
//               i32 where the network computes with integers
//
// With --marks every step is made twice from the same state, the second time with an observer that
// asks the counter: marks[0] is what it showed when the input had been checked, marks[n] after the
// nth operation, and the last one when the step had returned. The difference of two neighbours is
// one operation and what the observer cost there. The latter is the same instructions in every
// step; python/spikec/firmware_trace.py finds them, and what is left adds up to `count`.
//
// When the network refuses a step, `steps` is the number of steps before it, and `status` is the
// network's spk_status; a run that was cut off has UNFINISHED there. Exit status: 0, 1 when the
// network refused a step, 2 for a bad command line or a bad file.
#include <string.h>

#include "board.h"
#include "say.h"
#include "spk_drive.h"
#include "spk_target.h"

#define UNFINISHED 0xffffffffu

enum { MOST_MARKS = 512 };

typedef struct input_header {
  char magic[4];
  uint32_t version;
  uint32_t inputs;
  uint32_t steps;
} input_header;

typedef struct output_header {
  char magic[4];
  uint32_t version;
  uint32_t outputs;
  uint32_t layers;
  uint32_t neurons;
  uint32_t steps;
  uint32_t recorded;
  uint32_t status;
  uint32_t marks;
} output_header;

// The files are read and written as these very types.
_Static_assert(sizeof(input_header) == 16 && sizeof(output_header) == 36, "no padding");
_Static_assert(sizeof(spk_active) == 8, "an entry is an index and a value");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files are little-endian");

// Where one step's input and results lie: in the board's spare memory.
typedef struct buffers {
  uint64_t *marks;        // [MOST_MARKS]
  spk_active *active;     // [inputs]
  uint32_t *membranes;    // [neurons], the bits of float or int32_t
  uint8_t *state;         // [state_bytes], a copy
  uint8_t *spikes;        // [outputs]
  uint8_t *layer_spikes;  // [neurons]
} buffers;

static int refuse(const char *file, const char *what) {
  spk_board_print("error: ");
  spk_board_print(file);
  spk_board_print(": ");
  spk_board_print(what);
  spk_board_print("\n");
  return 2;
}

static int refuse_numbers(const char *file, const char *what, uint32_t found, const char *than,
                          uint32_t wanted) {
  char room[2][SPK_SAY_ROOM];
  spk_board_print("error: ");
  spk_board_print(file);
  spk_board_print(": ");
  spk_board_print(what);
  spk_board_print(spk_say_decimal(room[0], found));
  spk_board_print(than);
  spk_board_print(spk_say_decimal(room[1], wanted));
  spk_board_print("\n");
  return 2;
}

static bool same(const char *a, const char *b) {
  while (*a != '\0' && *a == *b) a++, b++;
  return *a == *b;
}

// Divides the board's spare memory; false when it is too small. Widest type first, so that every
// buffer is aligned.
static bool claim(buffers *out, const spk_model *model, uint32_t neurons) {
  size_t room = 0;
  uint8_t *spare = spk_board_spare(&room);
  const uint64_t need =
      MOST_MARKS * sizeof(uint64_t) + (uint64_t)model->inputs * sizeof(spk_active) +
      (uint64_t)neurons * (sizeof(uint32_t) + 1u) + model->outputs + model->state_bytes;
  if (need > room) return false;
  out->marks = (uint64_t *)(void *)spare;
  out->active = (spk_active *)(void *)(out->marks + MOST_MARKS);
  out->membranes = (uint32_t *)(void *)(out->active + model->inputs);
  out->state = (uint8_t *)(out->membranes + neurons);
  out->spikes = out->state + model->state_bytes;
  out->layer_spikes = out->spikes + model->outputs;
  return true;
}

// Checks all of the file but the entries, which the network checks itself in each step.
// `offsets` is left at the first offset.
static int check_input(const char *path, spk_file offsets, const spk_model *model,
                       uint32_t *steps) {
  input_header header;
  uint32_t length = 0;
  if (!spk_board_length(offsets, &length) || length < sizeof header ||
      !spk_board_read(offsets, &header, sizeof header)) {
    return refuse(path, "the file is too short for a header of 16 bytes; write it again");
  }
  if (memcmp(header.magic, "SPKI", 4) != 0) {
    return refuse(path, "not a recording for this program: it does not start with SPKI");
  }
  if (header.version != 1) {
    return refuse_numbers(path, "its format's version is ", header.version, "; this program reads ",
                          1);
  }
  if (header.inputs != model->inputs) {
    return refuse_numbers(path, "it is for a network of ", header.inputs, " inputs; this one has ",
                          model->inputs);
  }
  const uint64_t fixed = sizeof header + ((uint64_t)header.steps + 1u) * sizeof(uint64_t);
  if (fixed > length) {
    return refuse_numbers(path, "the file is cut short: it has ", length,
                          " bytes, too few for its number of steps, ", header.steps);
  }
  uint64_t before = 0;
  for (uint32_t t = 0; t <= header.steps; t++) {
    uint64_t offset = 0;
    if (!spk_board_read(offsets, &offset, sizeof offset)) {
      return refuse(path, "its offsets cannot be read");
    }
    if (t == 0 ? offset != 0 : offset < before) {
      return refuse_numbers(path, "the offsets must start at 0 and never fall; wrong is number ", t,
                            " of ", header.steps + 1u);
    }
    if (offset - before > model->inputs) {
      return refuse_numbers(path, "too many entries, more than the network has inputs, in step ",
                            t - 1u, " of ", header.steps);
    }
    before = offset;
  }
  // `before` is at most steps * inputs < 2^64 / 8, so this cannot wrap.
  if (fixed + before * sizeof(spk_active) != length) {
    return refuse_numbers(path, "the file is cut short or too long: it has ", length,
                          " bytes and should have ",
                          (uint32_t)(fixed + before * sizeof(spk_active)));
  }
  *steps = header.steps;
  return spk_board_seek(offsets, sizeof header) ? 0 : refuse(path, "its offsets cannot be read");
}

static bool write_step(spk_file file, const output_header *header, const buffers *b,
                       uint64_t count) {
  if (!spk_board_write(file, b->spikes, header->outputs)) return false;
  if (!spk_board_write(file, &count, sizeof count)) return false;
  if (!spk_board_write(file, b->marks, header->marks * sizeof *b->marks)) return false;
  if (header->recorded == 0) return true;
  return spk_board_write(file, b->layer_spikes, header->neurons) &&
         spk_board_write(file, b->membranes, header->neurons * sizeof *b->membranes);
}

static bool write_header(spk_file file, const output_header *header) {
  return spk_board_seek(file, 0) && spk_board_write(file, header, sizeof *header);
}

// What is measured or kept of each step, beyond its outputs and its count.
typedef enum mode { PLAIN, RECORD, MARKS } mode;

typedef struct run {
  mode mode;
  const char *input;
  const char *output;
  spk_file offsets;  // INPUT, read along its offsets
  spk_file entries;  // INPUT again, read along its entries
  spk_file results;  // OUTPUT
  uint32_t steps;
} run;

typedef struct marking {
  uint64_t *marks;
  uint32_t count;
} marking;

static void mark(void *context, const spk_layer_view *view) {
  marking *m = context;
  const uint64_t now = spk_board_counter_stop();
  if (view->operation < MOST_MARKS) m->marks[view->operation] = now;
  m->count = view->operation + 1;
}

// The counted step, and with MARKS the same step again under observation. `marks` is the number of
// marks of a step, known after the first.
static spk_status count_step(const run *r, const spk_model *model, const buffers *b, size_t active,
                             uint64_t *count, uint32_t *marks) {
  void *const state = spk_the_state;
  if (r->mode == MARKS) memcpy(b->state, state, model->state_bytes);
  spk_board_counter_start();
  spk_status status = model->step(state, b->active, active, b->spikes);
  *count = spk_board_counter_stop();
  if (r->mode != MARKS || status != SPK_OK) return status;
  marking m = {b->marks, 0};
  memcpy(state, b->state, model->state_bytes);
  spk_board_counter_start();
  status = model->step_observed(state, b->active, active, b->spikes, mark, &m);
  const uint64_t end = spk_board_counter_stop();
  if (m.count < MOST_MARKS) b->marks[m.count] = end;
  *marks = m.count + 1;
  return status;
}

// Steps through the recording; header->steps counts the steps done.
static int drive(const run *r, const spk_model *model, const buffers *b, output_header *header) {
  void *const state = spk_the_state;
  uint64_t start = 0;
  uint64_t end = 0;
  spk_status status = model->reset(state);
  if (!spk_board_read(r->offsets, &start, sizeof start)) {
    return refuse(r->input, "its offsets cannot be read");
  }
  for (uint32_t t = 0; t < r->steps && status == SPK_OK; t++, start = end) {
    if (!spk_board_read(r->offsets, &end, sizeof end)) {
      return refuse(r->input, "its offsets cannot be read");
    }
    const size_t active = (size_t)(end - start);
    if (!spk_board_read(r->entries, b->active, active * sizeof(spk_active))) {
      return refuse(r->input, "its entries cannot be read");
    }
    uint64_t count = 0;
    if (r->mode == RECORD) {
      const spk_record record = {b->layer_spikes, b->membranes};
      status = spk_drive_step(model, state, b->active, active, b->spikes, &record);
    } else {
      status = count_step(r, model, b, active, &count, &header->marks);
    }
    if (status != SPK_OK) break;
    if (header->marks > MOST_MARKS) {
      return refuse(model->name, "the network has too many operations to mark each");
    }
    if (!write_step(r->results, header, b, count)) {
      return refuse(r->output, "the results cannot be written; is the disk full?");
    }
    header->steps++;
  }
  header->status = (uint32_t)status;
  if (!write_header(r->results, header)) {
    return refuse(r->output, "the results cannot be written; is the disk full?");
  }
  if (status == SPK_OK) return 0;
  refuse_numbers(r->input, "the network refused step ", header->steps, " of ", r->steps);
  refuse(r->input, spk_say_status(status));
  return 1;
}

int spk_main(int count, const char *const *arguments) {
  const spk_model *const model = spk_the_model;
  run r = {.mode = PLAIN};
  if (count == 3 && same(arguments[2], "--record")) r.mode = RECORD;
  if (count == 3 && same(arguments[2], "--marks")) r.mode = MARKS;
  if (count != (r.mode == PLAIN ? 2 : 3)) {
    spk_board_print("error: give INPUT OUTPUT [--record | --marks]: recording and results\n");
    return 2;
  }
  r.input = arguments[0];
  r.output = arguments[1];
  r.offsets = spk_board_open(r.input, false);
  r.entries = spk_board_open(r.input, false);
  if (r.offsets < 0 || r.entries < 0) return refuse(r.input, "the file cannot be opened");
  const int wrong = check_input(r.input, r.offsets, model, &r.steps);
  if (wrong != 0) return wrong;
  if (!spk_board_seek(r.entries,
                      (uint32_t)(sizeof(input_header) + (r.steps + 1u) * sizeof(uint64_t)))) {
    return refuse(r.input, "its entries cannot be read");
  }

  output_header header = {.magic = {'S', 'P', 'K', 'O'},
                          .version = 2,
                          .outputs = model->outputs,
                          .layers = model->layers,
                          .neurons = spk_model_neurons(model),
                          .recorded = r.mode == RECORD ? 1 : 0,
                          .status = UNFINISHED};
  buffers b;
  if (!claim(&b, model, header.neurons)) {
    return refuse(model->name, "the board's memory is too small for this network's lists");
  }
  r.results = spk_board_open(r.output, true);
  if (r.results < 0) return refuse(r.output, "the file cannot be opened for writing");
  if (!write_header(r.results, &header)) return refuse(r.output, "the file cannot be written");
  const int status = drive(&r, model, &b, &header);
  if (!spk_board_close(r.results) && status == 0) return refuse(r.output, "it cannot be closed");
  return status;
}
