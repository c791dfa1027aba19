# SPDX-License-Identifier: Apache-2.0
"""Networks as people write them: modules with a forward of their own, in snnTorch's styles.

Weights are multiples of 1/64, so that sums are exact in any order and all spikes must be equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch as snn
import torch
import torch.nn.functional as F  # noqa: N812
from snntorch import utils
from torch import nn

Frames = npt.NDArray[np.float32]
Tensor = torch.Tensor

STEPS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Tutorial:
    """A network in a style, the shape of one frame, and whether it sees one frame in all steps."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    held: bool = False
    steps: int = STEPS

    def network(self, seed: int = 0) -> nn.Module:
        """The network in eval mode with weights on a grid."""
        torch.manual_seed(seed)
        net = self.build().eval()
        random = np.random.default_rng(seed)
        for name, parameter in net.named_parameters():
            if not name.endswith(("weight", "bias", "weight_ih", "weight_hh")):
                continue
            fan = max(1, int(np.prod(parameter.shape[1:])))
            values = random.normal(
                0.1 if parameter.ndim > 1 else 0, 1.6 / fan**0.5, parameter.shape
            )
            parameter.data = torch.tensor(np.round(values * 64) / 64, dtype=torch.float32)
        return net

    def recordings(self) -> list[Frames]:
        """Some inputs ``[T, *shape]``, on a grid, too."""
        random = np.random.default_rng(1)
        shape = (self.steps, *self.shape)
        found: list[Frames] = [
            (random.random(shape) < 0.3).astype(np.float32),
            (np.round(random.normal(0.2, 1, shape) * 8) / 8).astype(np.float32),
            random.poisson(0.7, shape).astype(np.float32),
        ]
        if self.held:
            found = [np.broadcast_to(frames[:1], shape).copy() for frames in found]
        return found


class FullyConnected(nn.Module):
    """Tutorial 5: a loop over steps inside, states from init_leaky, one image in all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.num_steps = STEPS
        self.fc1 = nn.Linear(20, 12)
        self.lif1 = snn.Leaky(beta=0.5)
        self.fc2 = nn.Linear(12, 5)
        self.lif2 = snn.Leaky(beta=0.5)

    def forward(self, x: Tensor) -> Any:
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec = []
        mem2_rec = []
        for _ in range(self.num_steps):
            cur1 = self.fc1(x)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


class Convolutional(nn.Module):
    """Tutorial 6: F.max_pool2d on currents, view before the last layer, one step a call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3)
        self.lif1 = snn.Leaky(beta=0.5, init_hidden=True)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.lif2 = snn.Leaky(beta=0.5, threshold=0.5, init_hidden=True)
        self.fc1 = nn.Linear(6 * 2 * 2, 5)
        self.lif3 = snn.Leaky(beta=0.5, init_hidden=True, output=True)

    def forward(self, x: Tensor) -> Any:
        spk1 = self.lif1(F.max_pool2d(self.conv1(x), 2))
        spk2 = self.lif2(F.max_pool2d(self.conv2(spk1), (2, 2)))
        cur3 = self.fc1(spk2.view(x.size(0), -1))
        return self.lif3(cur3)


class ConvolutionalLoop(nn.Module):
    """The same in a loop over one image, with states as arguments and the spikes summed up."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.lif1 = snn.Leaky(beta=0.5)
        self.fc1 = nn.Linear(4 * 3 * 3, 5)
        self.lif2 = snn.Leaky(beta=0.5)

    def forward(self, x: Tensor, num_steps: int = STEPS) -> Any:
        mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        total = torch.zeros(1, 5)
        current = self.conv1(x)
        for _ in range(num_steps):
            spk1, mem1 = self.lif1(F.avg_pool2d(current, 2), mem1)
            spk2, mem2 = self.lif2(self.fc1(torch.flatten(spk1, 1)), mem2)
            total = total + spk2
        return total / num_steps


class Neurons(nn.Module):
    """Synaptic, Alpha, Lapicque and RLeaky neurons, states as arguments and results of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(20, 12)
        self.syn1 = snn.Synaptic(alpha=0.5, beta=0.75)
        self.fc2 = nn.Linear(12, 10)
        self.lap2 = snn.Lapicque(R=1.0, C=2.0)
        self.fc3 = nn.Linear(10, 8)
        self.rlif3 = snn.RLeaky(beta=0.5, linear_features=8)

    def forward(
        self, x: Tensor, syn1: Tensor, mem1: Tensor, mem2: Tensor, spk3: Tensor, mem3: Tensor
    ) -> Any:
        spk1, syn1, mem1 = self.syn1(self.fc1(x), syn1, mem1)
        spk2, mem2 = self.lap2(self.fc2(spk1), mem2)
        spk3, mem3 = self.rlif3(self.fc3(spk2), spk3, mem3)
        return spk3, syn1, mem1, mem2, spk3, mem3


class StateArgument(nn.Module):
    """One step a call, with one optional argument for all states."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(20, 12)
        self.alpha1 = snn.Alpha(alpha=0.75, beta=0.5)
        self.fc2 = nn.Linear(12, 8)
        self.rsyn2 = snn.RSynaptic(alpha=0.5, beta=0.5, all_to_all=False, V=0.5)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        if state is None:
            state = (self.alpha1.reset_mem(), self.rsyn2.reset_mem())
        first, second = state
        spk1, *first = self.alpha1(self.fc1(x), *first)
        spk2, *second = self.rsyn2(self.fc2(spk1), *second)
        return spk2, (first, [spk2, *second[-2:]])


class Block(nn.Module):
    """A residual block: spikes of two layers are added, then joined with the block's input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                "conv": nn.Conv2d(channels, channels, 3, padding=1),
                "lif": snn.Leaky(beta=0.5, init_hidden=True),
            }
        )
        self.skip = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        spk = self.layers["lif"](self.layers["conv"](x))
        return torch.cat([spk + 0.5 * self.skip(x), x], dim=1)


class Residual(nn.Module):
    """Blocks in a ModuleList, a shared convolution, and a loop over the input's steps."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(2), Block(4)])
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        self.lif1 = snn.Leaky(beta=0.5)
        self.lif2 = snn.Leaky(beta=0.5)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(32, 5)
        self.lif3 = snn.Leaky(beta=0.75)

    def forward(self, x: Tensor) -> Any:
        utils.reset(self)
        for block in self.blocks:
            utils.reset(block.layers)
        mem1 = mem2 = mem3 = None
        spikes = []
        for step in range(x.size(0)):
            value = x[step]
            for block in self.blocks:
                value = block(value)
            spk1, mem1 = self.lif1(self.shared(value), mem1)
            spk2, mem2 = self.lif2(F.relu(self.shared(spk1)), mem2)
            spk3, mem3 = self.lif3(self.fc(self.pool(spk1 + spk2).flatten(1)), mem3)
            spikes.append(spk3)
        return torch.stack(spikes)


class SeveralOutputs(nn.Module):
    """Spikes of two layers and a membrane are returned; the input is [B, T, ...]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, stride=2)
        self.lif1 = snn.Leaky(beta=0.5)
        self.fc = nn.Linear(4 * 6, 7)
        self.lif2 = snn.Leaky(beta=0.5, graded_spikes_factor=0.5)

    def forward(self, data: Tensor) -> Any:
        mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        first, second = [], []
        for step in range(data.size(1)):
            spk1, mem1 = self.lif1(self.conv(data[:, step]), mem1)
            spk2, mem2 = self.lif2(self.fc(spk1.reshape(1, -1)), mem2)
            first.append(spk1)
            second.append(spk2)
        return {"hidden": torch.stack(first, dim=1), "out": torch.stack(second, dim=1), "mem": mem2}


class ThroughTime(nn.Module):
    """BatchNormTT: a batch normalization for every time step."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(20, 12)
        self.bntt1 = snn.BatchNormTT1d(12, STEPS)
        self.lif1 = snn.Leaky(beta=0.5)
        self.fc2 = nn.Linear(12, 5)
        self.lif2 = snn.Leaky(beta=0.5)

    def forward(self, x: Tensor) -> Any:
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        record = []
        for step, frame in enumerate(x):
            spk1, mem1 = self.lif1(self.bntt1[step](self.fc1(frame)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            record.append(spk2)
        return torch.stack(record), mem2


class Lstm(nn.Module):
    """SConv2dLSTM and SLSTM, states passed on from step to step outside."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm1 = snn.SConv2dLSTM(2, 4, 3, max_pool=2, threshold=0.125)
        self.fc = nn.Linear(36, 8)
        self.lstm2 = snn.SLSTM(8, 8, threshold=0.0625)

    def forward(self, x: Tensor, syn1: Any = None, mem1: Any = None, syn2: Any = None,
                mem2: Any = None) -> Any:  # fmt: skip
        spk1, syn1, mem1 = self.lstm1(x, syn1, mem1)
        spk2, syn2, mem2 = self.lstm2(self.fc(spk1.flatten(1)), syn2, mem2)
        return spk2, syn1, mem1, syn2, mem2


class HandWritten(nn.Module):
    """A recurrence by hand: spikes, and a trace of them, of the step before."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(20, 10)
        self.rec = nn.Linear(10, 10, bias=False)
        self.lif = snn.Leaky(beta=0.5)
        self.out = nn.Linear(10, 6)
        self.back = nn.Linear(6, 10)
        self.lif_out = snn.Leaky(beta=0.5)

    def forward(self, data: Tensor) -> Any:
        mem = self.lif.reset_mem()
        mem_out = self.lif_out.reset_mem()
        spk = torch.zeros(1, 10)
        trace = torch.zeros(1, 10)
        fed_back = torch.zeros(1, 10)
        record = []
        for x in data.unbind(0):
            before = spk
            spk, mem = self.lif(self.fc(x) + self.rec(spk) - fed_back, mem)
            trace = 0.5 * trace + spk
            spk_out, mem_out = self.lif_out(self.out(trace - before), mem_out)
            fed_back = self.back(spk_out)
            record.append(spk_out)
        return record


class Sequences(nn.Module):
    """Neurons that take all time steps at once, with layers on [T, B, N] between them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.parallel = snn.LeakyParallel(3 * 4 * 4, 10, beta=0.5)
        self.linear = snn.LinearLeaky(beta=0.5, in_features=10, out_features=8)
        self.fc = nn.Linear(8, 6)
        self.state = snn.StateLeaky(beta=0.5, channels=6)

    def forward(self, x: Tensor) -> Any:
        steps, batch = x.shape[:2]
        cur = self.conv(x.flatten(0, 1))
        spk1 = self.parallel(cur.view(steps, batch, -1))
        spk2, _ = self.linear(spk1)
        spk3, _ = self.state(self.fc(spk2))
        return spk3


class HiddenStates(nn.Module):
    """init_hidden neurons in nested Sequentials; the last spikes of the loop are returned."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Linear(20, 12), nn.Identity()),
            snn.Leaky(beta=0.5, init_hidden=True, reset_mechanism="zero"),
        )
        self.head = nn.Sequential(
            nn.Linear(12, 5), snn.Synaptic(alpha=0.5, beta=0.5, init_hidden=True, output=True)
        )

    def forward(self, x: Tensor) -> Any:
        utils.reset(self.features)
        utils.reset(self.head)
        for _ in range(STEPS):
            spk, _, mem = self.head(self.features(x.view(1, -1)))
        return spk, mem


class InPlace(nn.Module):
    """``out += skip``, a feedback that begins with None, weights as parameters, spikes counted."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.lif1 = snn.Leaky(beta=0.5, init_hidden=True)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.skip = nn.Conv2d(2, 4, 1)
        self.lif2 = snn.Leaky(beta=0.5, init_hidden=True)
        self.input_weight = nn.Parameter(torch.zeros(4 * 36, 10))
        self.back_weight = nn.Parameter(torch.zeros(10, 10))
        self.lif3 = snn.Leaky(beta=0.5, init_hidden=True)

    def forward(self, x: Tensor) -> Any:
        utils.reset(self)
        record = torch.zeros(x.size(0), x.size(1), 10)
        back: Any = None
        count: Any = 0
        for step in range(x.size(0)):
            out = self.norm2(self.conv2(self.lif1(self.conv1(x[step].clamp(max=1)))))
            out += self.skip(x[step])
            current = self.lif2(out).flatten(1) @ self.input_weight
            if back is not None:
                current = current + F.linear(back, self.back_weight)
            back = self.lif3(current)
            record[step] = back
            count += back
        return record, count


TUTORIALS = [
    Tutorial("fully connected", FullyConnected, (20,), held=True),
    Tutorial("convolutional", Convolutional, (2, 11, 11)),
    Tutorial("convolutional loop", ConvolutionalLoop, (1, 8, 8), held=True),
    Tutorial("neurons", Neurons, (20,)),
    Tutorial("state argument", StateArgument, (20,)),
    Tutorial("residual", Residual, (2, 6, 6)),
    Tutorial("several outputs", SeveralOutputs, (3, 14)),
    Tutorial("through time", ThroughTime, (20,)),
    Tutorial("lstm", Lstm, (2, 6, 6)),
    Tutorial("hand-written recurrence", HandWritten, (20,)),
    Tutorial("sequences", Sequences, (2, 6, 6)),
    Tutorial("in place", InPlace, (2, 6, 6)),
    Tutorial("hidden states", HiddenStates, (4, 5), held=True),
]
