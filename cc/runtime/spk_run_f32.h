// SPDX-License-Identifier: Apache-2.0
// The innermost loop of every event-driven layer: one active input adds one run of weights to
// neighbouring outputs. Each CPU that has its own has its own file.
#ifndef SPK_RUN_F32_H_
#define SPK_RUN_F32_H_

#if defined(__ARM_ARCH_7EM__) && defined(__ARM_FP) && defined(__GNUC__)
#include "spk_run_f32_cortex_m7.h"
#else
#include "spk_run_f32_generic.h"
#endif

#endif  // SPK_RUN_F32_H_
