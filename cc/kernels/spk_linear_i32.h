// SPDX-License-Identifier: Apache-2.0
// Event-driven fully connected layer with int8 weights and sums in int32, which must be known to
// fit: every active input adds one contiguous row. spk_linear_any.inc is its text; sums start at 0,
// and on a Cortex-M7 they start a word.
#ifndef SPK_LINEAR_I32_H_
#define SPK_LINEAR_I32_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_fours.h"
#include "spk_run_int.h"
#include "spk_spikes.h"

// What follows needs what is above.
#include "spk_any_i32.inc"
#include "spk_linear_any.inc"

#endif  // SPK_LINEAR_I32_H_
