// SPDX-License-Identifier: Apache-2.0
// Leaky integrate-and-fire neurons in fixed point, alone or reading their current through a max
// pooling: of currents in int16 or int32 and membranes in int16 or int32.
#ifndef SPK_LEAKY_INT_H_
#define SPK_LEAKY_INT_H_

// spk_leaky_rows_CURRENT_MEMBRANE(leaky, y, rows, current, membrane, spikes, count) updates the
// neurons of `rows` rows of the layer from row `y` on: their `membrane` (of the layer's
// [height][width][channels]) from `current` [rows * pool_height][in_width][channels]. It appends
// the positions of those that spiked to `spikes`, which has room for every neuron and holds
// `count`, and returns the new count.
//
// spk_leaky_step_CURRENT_MEMBRANE(leaky, current, membrane, spikes) updates all of the layer in one
// go: `current` is [rows >= height * pool_height][in_width][channels].
//
// On a Cortex-M7 all arrays start a word. Each kind of CPU has its own file. Without optimisation
// the compiler has no registers left for that one's assembly.
#if defined(__ARM_ARCH_7EM__) && defined(__ARM_FP) && defined(__GNUC__) && defined(__OPTIMIZE__)
#include "spk_leaky_int_cortex_m7.h"
#else
#include "spk_leaky_int_runs.h"
#endif

#endif  // SPK_LEAKY_INT_H_
