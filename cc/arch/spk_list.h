// SPDX-License-Identifier: Apache-2.0
// Building lists of spikes, without a branch that depends on the data.
#ifndef SPK_LIST_H_
#define SPK_LIST_H_

enum { SPK_LIST_BLOCK = 16 };  // values that spk_list_nonzero looks at together

#if defined(__AVX512BW__) && defined(__AVX512VL__)
#include "spk_list_avx512.h"
#else
#include "spk_list_generic.h"
#endif

#endif  // SPK_LIST_H_
