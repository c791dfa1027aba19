// SPDX-License-Identifier: Apache-2.0
// Leaky neurons in fixed point in long runs that compilers turn into vectors, for each pair of
// types.
#ifndef SPK_LEAKY_INT_RUNS_H_
#define SPK_LEAKY_INT_RUNS_H_

#include "spk_leaky_neuron_int.h"
#include "spk_list.h"
#include "spk_spikes.h"

#define SPK_LEAKY(name) name##_i16_i16
#define SPK_LEAKY_CURRENT int16_t
#define SPK_LEAKY_MEMBRANE int16_t
#define SPK_LEAKY_NUMBER(name) name##_i16
#include "spk_leaky_int_runs.inc"

#define SPK_LEAKY(name) name##_i16_i32
#define SPK_LEAKY_CURRENT int16_t
#define SPK_LEAKY_MEMBRANE int32_t
#define SPK_LEAKY_NUMBER(name) name##_i32
#include "spk_leaky_int_runs.inc"

#define SPK_LEAKY(name) name##_i32_i32
#define SPK_LEAKY_CURRENT int32_t
#define SPK_LEAKY_MEMBRANE int32_t
#define SPK_LEAKY_NUMBER(name) name##_i32
#include "spk_leaky_int_runs.inc"

#endif  // SPK_LEAKY_INT_RUNS_H_
