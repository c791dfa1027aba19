// SPDX-License-Identifier: Apache-2.0
// Which network a program runs. One generated C file for each program defines both, for instance:
//   #include "nmnist.h"
//   #include "nmnist_model.h"
//   #include "spk_target.h"
//   SPK_TARGET(nmnist_model, nmnist_state)
#ifndef SPK_TARGET_H_
#define SPK_TARGET_H_

#include "spk_model.h"

extern const spk_model *const spk_the_model;
extern void *const spk_the_state;  // spk_the_model->state_bytes bytes, aligned for any object

// Defines the two: `model` is the network's spk_model, `state` the type of its state. The state's
// section is named so that the compiler takes it for zeroed memory and the linker scripts can put
// it where the board is fastest.
#define SPK_TARGET(model, state)                                                        \
  static _Alignas(8) state spk_target_state __attribute__((section(".bss.spk_state"))); \
  const spk_model *const spk_the_model = &(model);                                      \
  void *const spk_the_state = &spk_target_state;

#endif  // SPK_TARGET_H_
