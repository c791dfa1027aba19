// SPDX-License-Identifier: Apache-2.0
// Constants of which the compiler may not know the values.
#ifndef SPK_OPAQUE_H_
#define SPK_OPAQUE_H_

#include "spk_kernel.h"

// The same pointer, of whose values the compiler knows nothing. GCC 12 joins a product and
// neighbouring + c and - c of constants into one vfmaddsub on x86-64 with FMA, although
// -ffp-contract=off forbids it and the result is rounded differently. Kernels read through this
// what they add to a product and could otherwise be known at compile time.
SPK_KERNEL const float *spk_opaque_f32(const float *values) {
  const float *volatile hidden = values;
  return hidden;
}

#endif  // SPK_OPAQUE_H_
