// SPDX-License-Identifier: Apache-2.0
// First include of a FILE_v4.c: from here on the code is for x86-64-v4, which has AVX-512.
#ifndef SPK_LEVEL_V4_H_
#define SPK_LEVEL_V4_H_

#define SPK_LEVEL_V4
#include "spk_level.h"

#if defined(SPK_HAS_LEVELS)
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#endif

#endif  // SPK_LEVEL_V4_H_
