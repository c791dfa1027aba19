// SPDX-License-Identifier: Apache-2.0
// One leaky integrate-and-fire neuron in fixed point, its membrane in int16 or int32: its
// parameters and its equation.
#ifndef SPK_LEAKY_NEURON_INT_H_
#define SPK_LEAKY_NEURON_INT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spk_reset.h"

// A parameter of the neurons: the value for channel c at position p stands at
// values[p * per_position + c * per_channel]. Both strides are 0 for one value for all.
typedef struct spk_param_i16 {
  const int16_t *values;
  uint32_t per_position;
  uint32_t per_channel;
} spk_param_i16;
typedef struct spk_param_i32 {
  const int32_t *values;
  uint32_t per_position;
  uint32_t per_channel;
} spk_param_i32;

//@ template NAME           PARAM
//@          spk_leaky_i16  spk_param_i16
//@          spk_leaky_i32  spk_param_i32
// Leaky neurons with membranes in the type of `param`.
typedef struct NAME {
  spk_param_i16 decay; /* of the membrane in one time step, 0 to 32767, in parts of 2^15 */
  PARAM threshold;     /* of any sign */
  PARAM bias;          /* values NULL when all are 0 */
  uint32_t shift;      /* a current counts 2^shift units of the membrane */
  uint32_t height;     /* of the layer's own map; 1 for a fully connected layer */
  uint32_t width;
  uint32_t channels;
  uint32_t pool_height; /* max pooling window = its stride; 1 where there is none */
  uint32_t pool_width;
  uint32_t in_width; /* of the map that is pooled */
  spk_reset reset;
  bool reset_delay; /* true: a spike resets the membrane one step later */
} NAME;
//@ end

// (membrane * decay + 2^14) >> 15: what a time step leaves of a membrane, rounded to nearest,
// halves up. The second is in parts that stay in int32, for vectors; |membrane| < 2^30.
SPK_KERNEL int16_t spk_leaky_decay_i16(int16_t membrane, int16_t decay) {
  return (int16_t)((membrane * decay + 0x4000) >> 15);
}
SPK_KERNEL int32_t spk_leaky_decay_i32(int32_t membrane, int16_t decay) {
  return (membrane >> 15) * decay + (((membrane & 0x7fff) * decay + 0x4000) >> 15);
}

//@ template NUM  TYPE
//@          i16  int16_t
//@          i32  int32_t
// spk_leaky_update_SUFFIX(membrane, current, decay, threshold, bias, reset, reset_delay, spiked):
// one neuron, one time step. Returns the new membrane and whether it spiked; `current` is in units
// of the membrane.
//
//   r[t]   = mem[t-1] > thr
//   mem[t] = decay(mem[t-1]) + I[t] + bias - r[t] * thr             subtract
//          = decay((1 - r[t]) * mem[t-1]) + I[t] + bias             zero
//          = decay(mem[t-1]) + I[t] + bias                          none
//   spk[t] = mem[t] > thr
//
// and without reset delay, where d = spk[t] - r[t] is 1, 0 or -1, the membrane that is kept is
// mem[t] - d * thr (subtract) or mem[t] - d * mem[t] (zero).
//
// Every membrane, also the one before the undoing, is known to fit. What is added up on the way to
// it may wrap around, so it is unsigned; choices are masks, of which compilers make vectors.
SPK_KERNEL TYPE spk_leaky_update_NUM(TYPE membrane, uint32_t current, int16_t decay, TYPE threshold,
                                     TYPE bias, spk_reset reset, bool reset_delay, bool *spiked) {
  const bool above = membrane > threshold;
  const uint32_t kept = reset == SPK_RESET_ZERO ? (uint32_t)above - 1u : ~0u;
  const uint32_t taken = reset == SPK_RESET_SUBTRACT ? 0u - (uint32_t)above : 0u;
  const TYPE decayed = spk_leaky_decay_NUM((TYPE)((uint32_t)membrane & kept), decay);
  const TYPE next =
      (TYPE)((uint32_t)decayed + current + (uint32_t)bias - ((uint32_t)threshold & taken));
  const bool spike = next > threshold;
  *spiked = spike;
  if (reset_delay || reset == SPK_RESET_NONE) return next;
  const uint32_t undone = (uint32_t)(reset == SPK_RESET_SUBTRACT ? threshold : next);
  const uint32_t spent = undone & (0u - (uint32_t)spike);
  return (TYPE)((uint32_t)next - spent + (undone & (0u - (uint32_t)above)));
}
//@ end

//@ template NUM  TYPE
//@          i16  int16_t
//@          i32  int32_t
// spk_param_from_SUFFIX(param, position, c): the same parameter, from channel c at `position` on.
SPK_KERNEL spk_param_NUM spk_param_from_NUM(spk_param_NUM param, uint32_t position, uint32_t c) {
  const size_t skip = (size_t)position * param.per_position + (size_t)c * param.per_channel;
  if (skip != 0) param.values += skip;
  return param;
}
//@ end

#endif  // SPK_LEAKY_NEURON_INT_H_
