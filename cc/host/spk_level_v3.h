// SPDX-License-Identifier: Apache-2.0
// First include of a FILE_v3.c: from here on the code is for x86-64-v3, which has AVX2.
#ifndef SPK_LEVEL_V3_H_
#define SPK_LEVEL_V3_H_

#define SPK_LEVEL_V3
#include "spk_level.h"

#if defined(SPK_HAS_LEVELS)
#pragma GCC target("arch=x86-64-v3")
#endif

#endif  // SPK_LEVEL_V3_H_
