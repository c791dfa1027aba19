// SPDX-License-Identifier: Apache-2.0
// What a spike does to the membrane of its neuron.
#ifndef SPK_RESET_H_
#define SPK_RESET_H_

typedef enum spk_reset { SPK_RESET_SUBTRACT, SPK_RESET_ZERO, SPK_RESET_NONE } spk_reset;

#endif  // SPK_RESET_H_
