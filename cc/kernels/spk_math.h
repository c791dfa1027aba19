// SPDX-License-Identifier: Apache-2.0
// The functions of neurons that are no arithmetic, with the same bits on every machine: those of
// the C library differ from one to the next. spikec's reference makes the same operations on
// doubles in the same order.
#ifndef SPK_MATH_H_
#define SPK_MATH_H_

#include <stdint.h>
#include <string.h>

#include "spk_kernel.h"

// exp(y) - 1 for -300 <= y <= 300, to 45 bits. y = n ln 2 + r with |r| < 0.35 gives
// 2^n (exp(r) - 1) + (2^n - 1); Taylor's series of r ends where it no longer counts.
SPK_KERNEL double spk_expm1(double y) {
  const double round = 0x1.8p+52;  // added to a small number, its last bits are that, rounded
  const double shifted = y * 0x1.71547652b82fep+0 + round;
  const double n = shifted - round;
  // ln 2 in two parts, of which the first times n is exact.
  const double r = (y - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  double series = 1.0 / 39916800.0;
  series = series * r + 1.0 / 3628800.0;
  series = series * r + 1.0 / 362880.0;
  series = series * r + 1.0 / 40320.0;
  series = series * r + 1.0 / 5040.0;
  series = series * r + 1.0 / 720.0;
  series = series * r + 1.0 / 120.0;
  series = series * r + 1.0 / 24.0;
  series = series * r + 1.0 / 6.0;
  series = series * r + 1.0 / 2.0;
  series = series * r + 1.0;
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023u) << 52;  // the exponent of 2^n
  double power;
  memcpy(&power, &bits, sizeof power);
  return power * (series * r) + (power - 1.0);
}

// The sign of x as a bit, and a number that is not negative with such a sign: what they are for is
// done without a branch, so that loops become vectors.
SPK_KERNEL uint64_t spk_sign(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits & (uint64_t)1 << 63;
}
SPK_KERNEL double spk_with_sign(double size, uint64_t sign) {
  uint64_t bits;
  memcpy(&bits, &size, sizeof bits);
  bits ^= sign;
  memcpy(&size, &bits, sizeof size);
  return size;
}

// 1 / (1 + exp(-x)), rounded from double. Beyond 110 it is 0 or 1 in float32.
SPK_KERNEL float spk_sigmoid_f32(float x) {
  const double y = -(double)x;
  const double size = spk_with_sign(y, spk_sign(y));
  const double near = spk_with_sign(size > 110.0 ? 110.0 : size, spk_sign(y));
  return (float)(1.0 / (2.0 + spk_expm1(near)));
}

// tanh(x), rounded from double. Beyond 20 it is 1 or -1 in float32.
SPK_KERNEL float spk_tanh_f32(float x) {
  const double wide = (double)x;
  const double size = spk_with_sign(wide, spk_sign(wide));
  const double near = size > 20.0 ? 20.0 : size;
  const double less = spk_expm1(-2.0 * near);
  return (float)spk_with_sign((0.0 - less) / (2.0 + less), spk_sign(wide));
}

#endif  // SPK_MATH_H_
