// SPDX-License-Identifier: Apache-2.0
// Event-driven 2-D convolution with int8 weights and sums in int16, which must be known to fit:
// every active input adds its weights to its outputs. spk_conv2d_any.inc is its text; sums start at
// 0, and on a Cortex-M7 they start a word.
#ifndef SPK_CONV2D_I16_H_
#define SPK_CONV2D_I16_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spk_fours.h"
#include "spk_run_int.h"
#include "spk_span.h"
#include "spk_spikes.h"

// What follows needs what is above.
#include "spk_any_i16.inc"
#include "spk_conv2d_any.inc"

#endif  // SPK_CONV2D_I16_H_
