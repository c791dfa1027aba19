// SPDX-License-Identifier: Apache-2.0
// Times a network's operations on the host with the monotonic clock.
#ifndef SPK_CLOCK_H_
#define SPK_CLOCK_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_model.h"

// Nanoseconds that reading the clock takes: the least of many.
uint64_t spk_clock_cost(void);

// Resets `state`, then makes `steps` steps of a recording without an observer and writes the
// nanoseconds of each to `plain` [steps]; then resets it and makes them again with an observer that
// reads the clock, and writes to each row of `laps` [steps][marks] the nanoseconds up to the end of
// the input's check, of each operation after that, and of the step. `marks` is the number of
// operations and 2. Step t's inputs are active[offsets[t]] .. active[offsets[t + 1] - 1]; `spikes`
// takes [outputs] bytes. An error stops at its step.
SPK_MUST_USE spk_status spk_clock_drive(const spk_model *model, void *state,
                                        const spk_active *active, const uint64_t *offsets,
                                        size_t steps, uint32_t marks, uint8_t *spikes,
                                        uint64_t *plain, uint64_t *laps);

#endif  // SPK_CLOCK_H_
