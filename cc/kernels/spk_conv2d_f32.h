// SPDX-License-Identifier: Apache-2.0
// Event-driven 2-D convolution in float32: every active input adds its weights to its outputs.
// spk_conv2d_any.inc is its text, with `bias` [out_channels] as where sums start.
#ifndef SPK_CONV2D_F32_H_
#define SPK_CONV2D_F32_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "spk_run_f32.h"
#include "spk_span.h"
#include "spk_spikes.h"

// What follows needs what is above.
#include "spk_any_f32.inc"
#include "spk_conv2d_any.inc"

#endif  // SPK_CONV2D_F32_H_
