// SPDX-License-Identifier: Apache-2.0
// What spk_lanes.h has, for CPUs without vectors.
#ifndef SPK_LANES_NONE_H_
#define SPK_LANES_NONE_H_

#include <stdbool.h>

#include "spk_kernel.h"

// How many spikes at one position add their weights together: one, as nothing is gained.
enum { SPK_TOGETHER = 1 };

// Integer neurons updated at a time: few, to need little stack.
//@ only generic
enum { SPK_LEAKY_INT_RUN = 32 };

// value where `on`, else 0.
SPK_KERNEL float spk_where_f32(bool on, float value) { return on ? value : 0.0f; }

#endif  // SPK_LANES_NONE_H_
