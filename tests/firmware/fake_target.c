// SPDX-License-Identifier: Apache-2.0
// Links the hand-written network into a program.
#include "fake_model.h"
#include "spk_target.h"

SPK_TARGET(fake_model, fake_state)
