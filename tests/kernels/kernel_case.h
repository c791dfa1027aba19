// SPDX-License-Identifier: Apache-2.0
// One row of the table of kernel cases, as generate.py writes it for kernel_main.c.
#ifndef KERNEL_CASE_H_
#define KERNEL_CASE_H_

#include <stdbool.h>
#include <stdint.h>

#include "spk_model.h"

// A compiled network, a recording, and what the reference makes of it, step by step. Layers follow
// one another in a row of neurons; within a layer, memory order [y][x][c].
typedef struct kernel_case {
  const char *name;
  const spk_model *model;
  void *states[2];  // room for two of the network's states
  uint32_t steps;
  const uint32_t *offsets;  // [steps + 1]: step t's inputs are active[offsets[t] .. offsets[t + 1])
  const spk_active *active;
  const uint8_t *outputs;     // [steps][model->outputs], 0 or 1
  const uint8_t *spikes;      // [steps][neurons], 0 or 1
  const uint32_t *membranes;  // [steps][neurons], the bits of a float or of an int32
  uint32_t most;              // the largest input that the network takes; 0: any finite number
  bool whole;                 // inputs, weights and membranes are integers
  bool limited;               // the network runs for no more than these steps
} kernel_case;

extern const kernel_case kernel_cases[];
extern const uint32_t kernel_case_count;

#endif  // KERNEL_CASE_H_
