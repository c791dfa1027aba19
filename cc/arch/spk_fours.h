// SPDX-License-Identifier: Apache-2.0
// The order in which int8 weights of four neighbouring outputs stand in memory. A table is written
// in fours where its outputs (a convolution's outputs of one group) are a multiple of four.
#ifndef SPK_FOURS_H_
#define SPK_FOURS_H_

#include "spk_run_int.h"

#if defined(SPK_RUN_INT_CORTEX_M7_H_)
// One word: SXTAB16 adds its bytes 0 and 2 to two neighbouring sums, and with ROR #8 bytes 1 and 3.
#define SPK_FOUR(a, b, c, d) a, c, b, d
#else
#define SPK_FOUR(a, b, c, d) a, b, c, d
#endif

#endif  // SPK_FOURS_H_
