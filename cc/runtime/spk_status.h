// SPDX-License-Identifier: Apache-2.0
// What every fallible spikec function returns.
#ifndef SPK_STATUS_H_
#define SPK_STATUS_H_

#include "spk_compiler.h"

// A function that returns anything but SPK_OK has written nothing. Only the drivers of spk_drive.h,
// which make many steps in one call, keep what was done before the step that failed.
typedef enum spk_status {
  SPK_OK = 0,
  SPK_NULL_ARGUMENT = 1,       // a pointer that must point somewhere is NULL
  SPK_TOO_MANY_INPUTS = 2,     // more active inputs than the network has inputs
  SPK_INDEX_OUT_OF_RANGE = 3,  // an input index or a pixel outside the network's input
  SPK_NOT_ASCENDING = 4,       // active inputs must be sorted by index, each at most once
  SPK_NOT_FINITE = 5,          // an input value is NaN or infinite
  SPK_TIME_RUNS_BACK = 6,      // an event is older than the window that is being filled
  SPK_WINDOW_OVER = 7,         // an event is newer than the window: take the window first
  SPK_OUT_OF_RANGE = 8,        // an input value is outside the declared range, or not whole
  SPK_TOO_MANY_STEPS = 9       // the network has parameters for no more time steps: reset it
} spk_status;

#endif  // SPK_STATUS_H_
