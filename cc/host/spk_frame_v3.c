// SPDX-License-Identifier: Apache-2.0
// spk_frame.c for CPUs with AVX2.
#include "spk_level_v3.h"

#if defined(SPK_HAS_LEVELS)
#include "spk_frame.c"
#endif

typedef int spk_frame_v3_is_not_empty;
