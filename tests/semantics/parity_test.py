# SPDX-License-Identifier: Apache-2.0
"""snnTorch, the reference and the compiled C agree on every layer that has weights or pools."""

from __future__ import annotations

import pytest
from torch import nn

from tests.networks import Case, built, conv, leaky, on_map, spread
from tests.semantics import parity_check

CONVOLUTIONS = [
    on_map("kernel 3", conv(6, 3), leaky()),
    on_map("kernel 1", conv(6, 1), leaky(), grid=True),
    on_map("kernel not square", conv(6, (2, 5)), leaky(0.5), grid=True),
    on_map("no bias", conv(6, 3, bias=False), leaky()),
    on_map("stride 2", conv(6, 3, stride=2), leaky()),
    on_map("stride (3, 1)", conv(6, 3, stride=(3, 1)), leaky()),
    on_map("stride larger than the kernel", conv(6, 2, stride=3), leaky()),
    on_map("stride larger than the kernel, dilated", conv(5, 2, stride=4, dilation=2), leaky()),
    on_map("padding 1", conv(6, 3, padding=1), leaky()),
    on_map("padding (2, 1)", conv(6, 3, padding=(2, 1)), leaky(), grid=True),
    on_map("padding larger than the kernel", conv(4, 2, padding=4, stride=3), leaky()),
    on_map("padding same, even kernel", conv(6, (4, 3), padding="same"), leaky()),
    on_map("padding same, dilated", conv(6, 3, padding="same", dilation=(2, 3)), leaky()),
    on_map("padding valid", conv(6, 3, padding="valid"), leaky()),
    on_map("dilation 2", conv(6, 3, dilation=2), leaky()),
    on_map("dilation 2, stride 2", conv(6, 3, dilation=2, stride=2, padding=2), leaky()),
    on_map("dilation 3, stride 2", conv(6, 3, dilation=3, stride=2, padding=3), leaky()),
    on_map("dilation 4, stride 6, padding 5", conv(3, 3, dilation=4, stride=6, padding=5), leaky()),
    on_map("groups", conv(6, 3, groups=2), leaky(), grid=True),
    on_map("depthwise, dilated, strided", conv(8, 3, groups=2, dilation=2, stride=2), leaky()),
    on_map("more channels than a block of neurons", conv(40, 3, stride=2), leaky()),
    on_map("convolution after convolution", conv(4, 3), nn.Conv2d(4, 6, 3), leaky()),
    on_map(
        "spikes into groups", conv(6, 3), leaky(), nn.Conv2d(6, 9, 2, groups=3, padding=1), leaky()
    ),
    built(
        "one column",
        (3, 7, 1),
        nn.Conv2d(3, 4, (3, 1)),
        leaky(),
        nn.Flatten(),
        nn.LazyLinear(4),
        leaky(),
    ),
]

LINEAR = [
    built("with bias", (11,), nn.Linear(11, 7), leaky(), nn.Linear(7, 4), leaky()),
    built("without bias", (11,), nn.Linear(11, 7, bias=False), leaky(), grid=True),
    built("after linear", (11,), nn.Linear(11, 7), nn.Linear(7, 6, bias=False), leaky()),
    built("of one neuron", (6,), nn.Linear(6, 1), leaky(), nn.Linear(1, 3), leaky()),
    built("of one input", (1,), nn.Linear(1, 6), leaky()),
    built("from a map, flattened first", (2, 3, 4), nn.Flatten(), nn.Linear(24, 6), leaky()),
    built("with Flatten on a flat input", (9,), nn.Flatten(), nn.Linear(9, 6), leaky()),
]

POOLS = [
    on_map("max before leaky", conv(6, 2), nn.MaxPool2d(2), leaky(), grid=True),
    on_map("max (3, 2) before leaky", conv(6, 3, padding=1), nn.MaxPool2d((3, 2)), leaky()),
    on_map("max before leaky with a remainder", conv(6, 3), nn.MaxPool2d((2, 4)), leaky()),
    on_map("max overlapping before leaky", conv(6, 3), nn.MaxPool2d(3, stride=1), leaky()),
    on_map("max with gaps before leaky", conv(6, 2), nn.MaxPool2d(2, stride=3), leaky()),
    on_map("max padded before leaky", conv(6, 3), nn.MaxPool2d(2, padding=1), leaky()),
    on_map("max dilated before leaky", conv(6, 3), nn.MaxPool2d(2, dilation=2), leaky()),
    on_map("max ceil before leaky", conv(6, 2), nn.MaxPool2d(3, ceil_mode=True), leaky()),
    on_map(
        "max ceil, padded, dilated before leaky",
        conv(6, 2),
        nn.MaxPool2d(3, stride=2, padding=1, dilation=(1, 2), ceil_mode=True),
        leaky(),
        grid=True,
    ),
    on_map("max, max, leaky", conv(6, 2), nn.MaxPool2d(2, 1), nn.MaxPool2d(2), leaky()),
    on_map("max, Dropout, leaky", conv(6, 3), nn.MaxPool2d(2), nn.Dropout(0.5), leaky()),
    on_map("max, Flatten, leaky", conv(6, 3), nn.MaxPool2d(2), nn.Flatten(), leaky()),
    on_map(
        "max of currents into a convolution",
        conv(4, 2),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 2),
        leaky(),
    ),
    on_map("max of spikes", conv(6, 3), leaky(), nn.MaxPool2d(2), grid=True),
    on_map("max of spikes, overlapping", conv(6, 3), leaky(), nn.MaxPool2d((3, 2), stride=1)),
    on_map("max of spikes, padded", conv(6, 3), leaky(), nn.MaxPool2d(2, padding=1)),
    on_map("max of spikes, dilated", conv(6, 3), leaky(), nn.MaxPool2d(2, 1, dilation=(3, 2))),
    on_map("max of spikes, ceil", conv(6, 2), leaky(), nn.MaxPool2d(3, ceil_mode=True)),
    on_map("max of spikes, twice", conv(6, 2), leaky(), nn.MaxPool2d(2, 1), nn.MaxPool2d(2)),
    on_map(
        "max of graded spikes",
        conv(6, 3),
        leaky(graded_spikes_factor=spread(6, 1, 1)),
        nn.MaxPool2d(2),
    ),
    on_map("max of negative spikes", conv(6, 3), leaky(graded_spikes_factor=-0.5), nn.MaxPool2d(2)),
    on_map("max of the input", nn.MaxPool2d(2), conv(6, 2), leaky()),
    on_map("max last", conv(5, 3), leaky(), nn.MaxPool2d(2), tail=False),
    on_map(
        "max and Flatten last", conv(5, 3), leaky(), nn.MaxPool2d(3, 2), nn.Flatten(), tail=False
    ),
    on_map("average before leaky", conv(6, 2), nn.AvgPool2d(2), leaky(), grid=True),
    on_map("average of 3 before leaky", conv(6, 2), nn.AvgPool2d(3), leaky()),
    on_map("average overlapping", conv(6, 3), nn.AvgPool2d((3, 2), stride=(1, 2)), leaky()),
    on_map("average padded", conv(6, 2), nn.AvgPool2d(3, padding=1), leaky()),
    on_map(
        "average padded, the padding not counted",
        conv(6, 2),
        nn.AvgPool2d(3, padding=1, count_include_pad=False),
        leaky(),
    ),
    on_map("average ceil", conv(6, 2), nn.AvgPool2d(3, stride=2, ceil_mode=True), leaky()),
    on_map(
        "average ceil, padded", conv(6, 2), nn.AvgPool2d(3, 2, padding=1, ceil_mode=True), leaky()
    ),
    on_map(
        "average ceil, padded, the padding not counted",
        conv(6, 2),
        nn.AvgPool2d((3, 4), 3, padding=(1, 2), ceil_mode=True, count_include_pad=False),
        leaky(),
    ),
    on_map("average, divisor 3", conv(6, 2), nn.AvgPool2d(2, divisor_override=3), leaky()),
    on_map("average of spikes", conv(6, 2), leaky(), nn.AvgPool2d(2), grid=True),
    on_map("average of 3 of spikes", conv(6, 2), leaky(), nn.AvgPool2d(3)),
    on_map(
        "average of graded spikes",
        conv(6, 2),
        leaky(graded_spikes_factor=spread(6, 8, 7)),
        nn.AvgPool2d(2),
    ),
    on_map("average of the input", nn.AvgPool2d(2), conv(6, 2), leaky()),
    on_map(
        "average of spikes into leaky", conv(6, 2), leaky(), nn.AvgPool2d(2), leaky(threshold=0.5)
    ),
]

NORMS = [
    on_map("after a convolution", conv(6, 3), nn.BatchNorm2d(6), leaky()),
    on_map("after a convolution without bias", conv(6, 3, bias=False), nn.BatchNorm2d(6), leaky()),
    on_map("without affine", conv(6, 3), nn.BatchNorm2d(6, affine=False), leaky()),
    on_map("twice", conv(6, 3), nn.BatchNorm2d(6), nn.BatchNorm2d(6, eps=0.1), leaky()),
    on_map("behind a Dropout", conv(6, 3), nn.Dropout2d(0.2), nn.BatchNorm2d(6), leaky()),
    on_map("then max", conv(6, 2), nn.BatchNorm2d(6), nn.MaxPool2d(2), leaky()),
    on_map("after max", conv(6, 2), nn.MaxPool2d(2), nn.BatchNorm2d(6), leaky()),
    on_map("after average", conv(6, 2), nn.AvgPool2d(2), nn.BatchNorm2d(6), leaky()),
    on_map("after leaky", conv(6, 2), leaky(), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 2), leaky()),
    on_map("after leaky and max", conv(6, 2), leaky(), nn.MaxPool2d(2), nn.BatchNorm2d(6)),
    on_map(
        "after graded spikes",
        conv(6, 2),
        leaky(graded_spikes_factor=-2.0),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 4, 3),
        leaky(),
    ),
    on_map("first", nn.BatchNorm2d(2), conv(6, 3), leaky()),
    on_map("first, then max", nn.BatchNorm2d(2), nn.MaxPool2d(2), conv(6, 2), leaky()),
    on_map("first, then leaky", nn.BatchNorm2d(2), leaky(threshold=0.8)),
    on_map("after Flatten of currents", conv(3, 3), nn.Flatten(), nn.BatchNorm1d(126), leaky()),
    on_map("after Flatten of spikes", conv(3, 3), leaky(), nn.Flatten(), nn.BatchNorm1d(126)),
    built("first in a flat network", (9,), nn.BatchNorm1d(9), nn.Linear(9, 6), leaky()),
    built("after Linear", (9,), nn.Linear(9, 6), nn.BatchNorm1d(6), leaky()),
    built(
        "after Linear, without affine",
        (9,),
        nn.Linear(9, 6, bias=False),
        nn.BatchNorm1d(6, affine=False),
        leaky(),
    ),
    built(
        "between leaky and Linear",
        (9,),
        nn.Linear(9, 6),
        leaky(),
        nn.BatchNorm1d(6),
        nn.Linear(6, 5),
        leaky(),
    ),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: case.name)
def test_a_convolution_equals_snntorch(case: Case) -> None:
    parity_check.agree(case)


@pytest.mark.parametrize("case", LINEAR, ids=lambda case: case.name)
def test_a_linear_layer_equals_snntorch(case: Case) -> None:
    parity_check.agree(case)


@pytest.mark.parametrize("case", POOLS, ids=lambda case: case.name)
def test_pooling_equals_snntorch(case: Case) -> None:
    parity_check.agree(case)


@pytest.mark.parametrize("case", NORMS, ids=lambda case: case.name)
def test_a_batch_norm_equals_snntorch(case: Case) -> None:
    parity_check.agree(case)
