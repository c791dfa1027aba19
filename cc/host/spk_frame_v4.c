// SPDX-License-Identifier: Apache-2.0
// spk_frame.c for CPUs with AVX-512.
#include "spk_level_v4.h"

#if defined(SPK_HAS_LEVELS)
#include "spk_frame.c"
#endif

typedef int spk_frame_v4_is_not_empty;
