// SPDX-License-Identifier: Apache-2.0
// Event-driven fully connected layer in float32: every active input adds one contiguous row.
// spk_linear_any.inc is its text, with `bias` [outputs] as where sums start.
#ifndef SPK_LINEAR_F32_H_
#define SPK_LINEAR_F32_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_run_f32.h"
#include "spk_spikes.h"

// What follows needs what is above.
#include "spk_any_f32.inc"
#include "spk_linear_any.inc"

#endif  // SPK_LINEAR_F32_H_
