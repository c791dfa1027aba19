# SPDX-License-Identifier: Apache-2.0
"""Writes a network as the C an engineer would write first: dense arrays and nested loops.

Every output sums over its whole window at every step, in the order of ``python/spikec/
reference.py``, so that spikes are the same bit for bit. It is what the benchmark compares spikec's
code with, and no part of the compiler: it knows the layers of the benchmark's networks only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikec.backend.c import runtime
from spikec.backend.c.expand import expand
from spikec.errors import SpikecError
from spikec.ir import network as ir

NAME = "dense"
"""The start of the files' and the symbols' names."""


def plain_dense(network: ir.Network) -> tuple[dict[str, str], tuple[str, ...]]:
    """The files of the program, by name, and the names of its operations' layers, in order.

    Raises:
        SpikecError: the network has a layer that this does not write.
    """
    members: list[str] = [f"  float input[{network.input.size}];"]
    tables: list[str] = []
    body: list[str] = []
    names: list[str] = []
    where = {ir.INPUT: "input"}
    for layer in network.layers:
        reads, before = where[layer.inputs[0]], network.shape_of(layer.inputs[0])
        where[layer.name] = layer.name
        if isinstance(layer, ir.Flatten):
            where[layer.name] = reads
            continue
        names.append(layer.name)
        members.append(f"  float {layer.name}[{layer.shape.size}];")
        match layer:
            case ir.Conv2d():
                weight = layer.weight.transpose(3, 0, 1, 2)  # [oc][ky][kx][ic]
                tables += _table(f"{layer.name}_weight", weight)
                tables += _table(f"{layer.name}_bias", layer.bias)
                body += _conv(layer, before, reads)
            case ir.Linear():
                tables += _table(f"{layer.name}_weight", layer.weight.T)
                tables += _table(f"{layer.name}_bias", layer.bias)
                body += _linear(layer, before, reads)
            case ir.MaxPool2d(kernel=kernel, stride=stride, padding=(0, 0), dilation=(1, 1)) if (
                not layer.clipped
            ):
                body += _max_pool(layer, before, reads, kernel, stride)
            case ir.Leaky(reset="subtract", reset_delay=True) if (
                layer.unit_spikes and layer.beta.size == layer.threshold.size == 1
            ):
                members.append(f"  float {layer.name}_membrane[{layer.shape.size}];")
                body += _leaky(layer, reads)
            case _:
                raise SpikecError(
                    f"{layer.name}: the benchmark's plain loops have no such {type(layer).__name__}"
                    "; add it to benchmarks/plain_dense.py."
                )
        body.append(f"  spk_observe_operation(observer, context, {len(names)});")
    files = {
        f"{NAME}.h": _HEADER.format(members="\n".join(members)),
        f"{NAME}.c": _SOURCE.format(
            checks=expand("spk_active_check", "generic", wide_index=False).text,
            tables="\n".join(tables), body="\n".join(body), inputs=network.input.size,
            outputs=network.output.shape.size, output=where[network.output.name],
        ),
        f"{NAME}_model.h": _MODEL_HEADER,
        f"{NAME}_model.c": _MODEL.format(
            inputs=network.input.size, outputs=network.output.shape.size,
            layers=len(network.spiking),
            neurons=", ".join(str(layer.shape.size) for layer in network.spiking),
        ),
    }  # fmt: skip
    driver = {name: runtime.read(name) for name in runtime.DRIVER}
    return runtime.with_includes(files | driver), tuple(names)


def _table(name: str, values: ir.Weights) -> Iterator[str]:
    axes = "".join(f"[{size}]" for size in values.shape)
    numbers = [f"{float(value).hex()}f" for value in np.ascontiguousarray(values).ravel()]
    rows = [", ".join(numbers[at : at + 6]) for at in range(0, len(numbers), 6)]
    # A flat initialiser fills the axes in order; braces would only repeat their sizes.
    yield f"static const float {name}{axes} = {{\n  " + ",\n  ".join(rows) + "\n};"


def _conv(conv: ir.Conv2d, before: ir.Shape, reads: str) -> Iterator[str]:
    height, width, group_in, channels = conv.weight.shape
    (sy, sx), (py, px), (dy, dx) = conv.stride, conv.padding, conv.dilation
    group_out = channels // conv.groups
    name, shape = conv.name, conv.shape
    inside = f"iy >= 0 && iy < {before.height} && ix >= 0 && ix < {before.width}"
    check = f"            if (!({inside})) continue;\n" if conv.padding != (0, 0) else ""
    yield f"""\
  for (int g = 0; g < {conv.groups}; g++)
    for (int y = 0; y < {shape.height}; y++)
      for (int x = 0; x < {shape.width}; x++)
        for (int oc = g * {group_out}; oc < (g + 1) * {group_out}; oc++) {{
          float sum = {name}_bias[oc];
          for (int ky = 0; ky < {height}; ky++)
          for (int kx = 0; kx < {width}; kx++) {{
            const int iy = y * {sy} + ky * {dy} - {py};
            const int ix = x * {sx} + kx * {dx} - {px};
{check}            for (int ic = 0; ic < {group_in}; ic++)
              sum += s->{reads}[(iy * {before.width} + ix) * {before.channels}
                                + g * {group_in} + ic]
                     * {name}_weight[oc][ky][kx][ic];
          }}
          s->{name}[(y * {shape.width} + x) * {channels} + oc] = sum;
        }}"""


def _linear(linear: ir.Linear, before: ir.Shape, reads: str) -> Iterator[str]:
    yield f"""\
  for (int o = 0; o < {linear.shape.size}; o++) {{
    float sum = {linear.name}_bias[o];
    for (int i = 0; i < {before.size}; i++) sum += s->{reads}[i] * {linear.name}_weight[o][i];
    s->{linear.name}[o] = sum;
  }}"""


def _max_pool(
    pool: ir.MaxPool2d, before: ir.Shape, reads: str, kernel: tuple[int, int],
    stride: tuple[int, int],
) -> Iterator[str]:  # fmt: skip
    shape = pool.shape
    at = f"((y * {stride[0]} + ky) * {before.width} + x * {stride[1]} + kx) * {before.channels} + c"
    yield f"""\
  for (int y = 0; y < {shape.height}; y++)
    for (int x = 0; x < {shape.width}; x++)
      for (int c = 0; c < {shape.channels}; c++) {{
        float most = -INFINITY;
        for (int ky = 0; ky < {kernel[0]}; ky++)
          for (int kx = 0; kx < {kernel[1]}; kx++) {{
            const float value = s->{reads}[{at}];
            if (value > most) most = value;
          }}
        s->{pool.name}[(y * {shape.width} + x) * {shape.channels} + c] = most;
      }}"""


def _leaky(leaky: ir.Leaky, reads: str) -> Iterator[str]:
    beta, threshold = (f"{float(v.ravel()[0]).hex()}f" for v in (leaky.beta, leaky.threshold))
    name = leaky.name
    yield f"""\
  for (int i = 0; i < {leaky.shape.size}; i++) {{
    const float reset = s->{name}_membrane[i] > {threshold} ? {threshold} : 0.0f;
    s->{name}_membrane[i] = {beta} * s->{name}_membrane[i] + s->{reads}[i] - reset;
    s->{name}[i] = s->{name}_membrane[i] > {threshold} ? 1.0f : 0.0f;
  }}"""


_HEADER = """\
// SPDX-License-Identifier: Apache-2.0
// A network in plain loops.
#include "spk_observer.h"
#include "spk_spikes.h"

typedef struct dense_state {{
{members}
}} dense_state;

spk_status dense_step(dense_state *s, const spk_active *active, size_t count, uint8_t *spikes,
                      spk_observer observer, void *context);
"""

_SOURCE = """\
// SPDX-License-Identifier: Apache-2.0
// A network in plain loops.
#include "dense.h"

#include <math.h>
#include <string.h>

{checks}
{tables}

spk_status dense_step(dense_state *s, const spk_active *active, size_t count, uint8_t *spikes,
                      spk_observer observer, void *context) {{
  const spk_status status = spk_active_check(active, count, {inputs});
  if (status != SPK_OK) return status;
  memset(s->input, 0, sizeof s->input);
  for (size_t i = 0; i < count; i++) s->input[active[i].index] = active[i].value;
  spk_observe_operation(observer, context, 0);
{body}
  for (int i = 0; i < {outputs}; i++) spikes[i] = s->{output}[i] != 0.0f;
  return SPK_OK;
}}
"""

_MODEL_HEADER = """\
// SPDX-License-Identifier: Apache-2.0
// The network behind the drivers' handle.
#include "spk_model.h"

extern const spk_model dense_model;
"""

_MODEL = """\
// SPDX-License-Identifier: Apache-2.0
// The network behind the drivers' handle.
#include "dense_model.h"

#include <string.h>

#include "dense.h"

static spk_status dense_reset(void *state) {{
  memset(state, 0, sizeof(dense_state));
  return SPK_OK;
}}

static spk_status dense_observed(void *state, const spk_active *active, size_t count,
                                 uint8_t *spikes, spk_observer observer, void *context) {{
  return dense_step(state, active, count, spikes, observer, context);
}}

static spk_status dense_plain(void *state, const spk_active *active, size_t count,
                              uint8_t *spikes) {{
  return dense_step(state, active, count, spikes, NULL, NULL);
}}

static const uint32_t dense_neurons[{layers}] = {{{neurons}}};

const spk_model dense_model = {{
    .name = "dense",
    .inputs = {inputs},
    .outputs = {outputs},
    .layers = {layers},
    .neurons = dense_neurons,
    .state_bytes = sizeof(dense_state),
    .reset = dense_reset,
    .step = dense_plain,
    .step_observed = dense_observed,
}};
"""
