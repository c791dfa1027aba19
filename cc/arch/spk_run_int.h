// SPDX-License-Identifier: Apache-2.0
// The innermost loop of scattering with int8 weights, for sums in int16 and in int32: one active
// input adds runs of weights to neighbouring outputs. Each kind of CPU has its own file.
#ifndef SPK_RUN_INT_H_
#define SPK_RUN_INT_H_

#include "spk_lanes.h"

// Without optimisation the compiler has no registers left for that assembly.
#if defined(__ARM_ARCH_7EM__) && defined(__ARM_FP) && defined(__GNUC__) && defined(__OPTIMIZE__)
#include "spk_run_int_cortex_m7.h"
#elif defined(SPK_HAS_LANES)
#include "spk_run_int_lanes.h"
#else
#include "spk_run_int_generic.h"
#endif

#endif  // SPK_RUN_INT_H_
