# SPDX-License-Identifier: Apache-2.0
"""Modules with a forward of their own compile and spike as snnTorch does, or are refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import snntorch
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import spikec
from spikec.errors import SpikecError
from spikec.frontends.pytorch import calling, execute
from spikec.frontends.pytorch import module as reader
from spikec.frontends.pytorch.module import check, import_network
from spikec.ir import network as ir
from spikec.semantics import parity
from tests.frontends.tutorial_networks import TUTORIALS, Convolutional, Tutorial

Forward = Callable[[Any, Any], Any]


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda tutorial: tutorial.name)
def test_a_tutorials_network_spikes_as_snntorch_does(tutorial: Tutorial) -> None:
    net = tutorial.network()
    model = spikec.compile(net, tutorial.shape, name="tutorial")
    host = model.build(("-O1",))
    spikes = 0
    for frames in tutorial.recordings():
        theirs = execute.trace(net, frames)
        ours = execute.run_reference(model.network, frames)
        c = execute.Run(host.trace(frames), host.membranes(frames))
        found = execute.compare(model.network, c, ours, theirs)
        assert found.holds, str(found)
        assert found.parity.differing == 0, str(found)
        handed_out = execute.find_outputs(net, frames).reshape(len(frames), -1)
        np.testing.assert_array_equal(
            host.run(frames).reshape(len(frames), -1) != 0, handed_out != 0
        )
        spikes += int(np.count_nonzero(handed_out))
        for layer, values in theirs.spikes.items():
            assert values.any(), f"{layer} never spikes, so comparing it proves nothing"
    assert spikes


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda tutorial: tutorial.name)
def test_reading_a_network_leaves_it_as_it_was_and_gives_the_same_twice(tutorial: Tutorial) -> None:
    net = tutorial.network()
    before = snapshot(net)
    torch.manual_seed(3)
    drawn = torch.get_rng_state()
    first = import_network(net, tutorial.shape, "net")
    assert torch.equal(torch.get_rng_state(), drawn)
    assert snapshot(net) == before
    second = import_network(net, tutorial.shape, "net")
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def snapshot(net: nn.Module) -> list[Any]:
    """The attributes of all modules, and what their containers hold, by identity."""
    return [
        {
            name: [*map(id, value.values())] if isinstance(value, dict) else id(value)
            for name, value in vars(module).items()
            if name != "training"
        }
        for module in net.modules()
    ]


def test_a_refused_network_is_left_as_it_was_too() -> None:
    net = net_of(lambda net, x: net.lif1(net.fc1(x)) * x.sum().item())
    net.lif1.mem = torch.full((1, 4), 0.25)
    before = snapshot(net)
    assert check(net, (6,))
    assert snapshot(net) == before
    assert bool((net.lif1.mem == 0.25).all())


def test_a_loop_becomes_a_previous_and_several_outputs_a_concat() -> None:
    kinds = {
        tutorial.name: [
            type(layer) for layer in import_network(tutorial.network(), tutorial.shape, "").layers
        ]
        for tutorial in TUTORIALS
    }
    assert kinds["hand-written recurrence"].count(ir.Previous) == 3
    assert kinds["several outputs"][-1] is ir.Concat
    assert ir.AffineTT in kinds["through time"]
    assert ir.Concat in kinds["residual"]


def test_a_network_that_sees_one_frame_in_all_steps_is_traced_with_copies_of_one_only() -> None:
    tutorial = TUTORIALS[0]
    net = tutorial.network()
    frames = tutorial.recordings()[0]
    with pytest.raises(SpikecError, match="8 time steps of its own; give it so many frames"):
        execute.trace(net, frames[:3])
    frames[2] += 1
    with pytest.raises(SpikecError, match="copies of one frame"):
        execute.trace(net, frames)


def test_a_network_made_by_torch_compile_is_refused_at_once() -> None:
    net = net_of(lambda net, x: net.lif1(net.fc1(x)))
    (problem,) = check(cast(nn.Module, torch.compile(net)), (6,))
    assert "made by torch.compile; give its _orig_mod" in str(problem)


def test_a_weight_without_a_layer_must_be_finite_too() -> None:
    net = net_of(lambda net, x: net.lif1(net.fc1(x) @ net.matrix))
    net.matrix = nn.Parameter(torch.full((4, 4), torch.nan))
    (problem,) = check(net, (6,))
    assert "its weight holds 16 value(s) that are NaN" in str(problem)


def test_a_network_that_was_read_wrongly_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    read = reader._read

    def wrongly(net: nn.Module, shape: tuple[int, ...]) -> Any:
        reading = read(net, shape)
        for layer in reading.layers:
            if isinstance(layer, ir.Linear):
                layer.bias[:] += 1
        return reading

    monkeypatch.setattr(reader, "_read", wrongly)
    with pytest.raises(SpikecError, match="fault of spikec; please report"):
        spikec.compile(Convolutional().eval(), (2, 11, 11))


# Ways to write one network; the reference is enough to tell whether it was read.


class Net(nn.Module):
    """Layers for forwards to use."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 4)
        self.fc2 = nn.Linear(4, 4)
        self.lif1 = snntorch.Leaky(beta=0.5, init_hidden=True)
        self.lif2 = snntorch.Leaky(beta=0.5, init_hidden=True)
        self.step = 0


def net_of(forward: Forward) -> Any:
    base = WithTanh if forward is unsupported_layer else Net
    return type("Own", (base,), {"forward": forward})().eval()


def own_number_of_steps(net: Any, x: Any) -> Any:
    net.lif1.reset_mem()
    return torch.stack([net.lif1(net.fc1(x[step])) for step in range(12)]).mean(0)


def one_frame_without_batch(net: Any, x: Any) -> Any:
    return torch.stack([net.lif1(net.fc1(x[step, 0])) for step in range(len(x))])


def batch_in_front(net: Any, x: Any) -> Any:
    cur = net.fc1(x).permute(1, 0, 2)
    return [net.lif1(cur[step]) for step in range(x.shape[1])]


def merged_axes(net: Any, x: Any) -> Any:
    cur = net.fc1(x.reshape(-1, 6)).view(x.size(0), 1, -1)
    return torch.stack([net.lif1(each) for each in cur])


def hidden_outside_of_the_loop(net: Any, x: Any) -> Any:
    spikes = [net.lif1(cur) for cur in net.fc1(x)]
    return torch.stack([net.lif2(net.fc2(spk)) for spk in spikes])


def constants(net: Any, x: Any) -> Any:
    cur = 1 - net.fc1(x) * torch.tensor([1.0, 2.0, 0.5, 4.0])
    return net.lif1(-(cur / 2) + abs(cur))


def gated(net: Any, x: Any) -> Any:
    spk = net.lif1(net.fc1(x))
    return net.lif2((net.fc2(spk) - 0.25) * spk)


def counts_its_calls(net: Any, x: Any) -> Any:
    net.step += 1
    return net.lif1(net.fc1(x)), net.step, None


def pooled_by_functions(net: Any, x: Any) -> Any:
    assert x.ndim == 2 and not x.is_cuda
    maps = x.unflatten(1, (1, 2, 3))
    small = F.adaptive_max_pool2d(maps, 2) + F.avg_pool2d(maps, (1, 2), stride=1)
    line = F.max_pool1d(small.view(1, 2, 2), kernel_size=2, stride=2)
    cur = net.fc2(input=F.relu(small).flatten(1))
    return net.lif1(cur), net.lif2(line.flatten(1))


def membranes_only(net: Any, x: Any) -> Any:
    net.lif1(net.fc1(x))
    return net.lif1.mem


def changed_in_place(net: Any, x: Any) -> Any:
    cur = net.fc1(x)
    same = cur
    cur += 1
    cur.mul_(0.5).sub_(net.fc2(cur))
    spk = net.lif1(same)
    spk -= 0.25
    return net.lif2(net.fc2(spk))


def counted_in_place(net: Any, x: Any) -> Any:
    count = 0
    for step in range(x.size(0)):
        count += net.lif1(net.fc1(x[step]))
    count /= x.size(0)
    return count


def recorded_in_place(net: Any, x: Any) -> Any:
    record = torch.zeros(x.size(0), 1, 4)
    later = x.new_zeros(1, x.size(0), 4)
    for step in range(x.size(0)):
        record[step] = net.lif1(net.fc1(x[step]))
        later[:, step, :] = net.lif2(-net.fc1(x[step]))
    return record, later


def begins_with_nothing(net: Any, x: Any) -> Any:
    before: Any = None
    record = []
    for frame in x:
        cur = net.fc1(frame)
        if before is not None:
            cur = cur - net.fc2(before)
        before = net.lif1(cur)
        record.append(before)
    return torch.stack(record)


def begins_with_the_number_0(net: Any, x: Any) -> Any:
    trace: Any = 0
    gate: Any = 0
    for frame in x:
        spk = net.lif1(net.fc1(frame) - trace)
        trace = 0.5 * trace + spk
        gate = spk * gate + trace
        out = net.lif2(net.fc2(gate))
    return out


def delayed_by_three_steps(net: Any, x: Any) -> Any:
    waiting = [torch.zeros(1, 4)] * 3
    record = []
    for frame in x:
        spk = net.lif1(net.fc1(frame) + net.fc2(waiting.pop(0)))
        waiting.append(spk)
        record.append(spk)
    return torch.stack(record)


def weights_without_layers(net: Any, x: Any) -> Any:
    off_diagonal = net.fc2.weight * (1 - torch.eye(4))
    spk = net.lif1(F.linear(x, net.fc1.weight, bias=net.fc1.bias) @ net.fc2.weight)
    return net.lif2(F.linear(spk, off_diagonal) + torch.matmul(spk, off_diagonal.t()))


def clamped(net: Any, x: Any) -> Any:
    cur = net.fc1(torch.clamp(x, max=1)).clamp_min(0.125) + torch.clip(net.fc1(x), -0.5, 0.5)
    return net.lif1(cur)


def argument_that_is_no_state(net: Any, x: Any, target: Any = None) -> Any:
    spk = net.lif1(net.fc1(x))
    if target is not None:
        return F.mse_loss(spk, target), spk
    return spk, net.lif1.mem


STYLES = [
    changed_in_place, counted_in_place, recorded_in_place, begins_with_nothing,
    begins_with_the_number_0, delayed_by_three_steps, weights_without_layers, clamped,
    argument_that_is_no_state,
    own_number_of_steps, one_frame_without_batch, batch_in_front, merged_axes,
    hidden_outside_of_the_loop, constants, gated, counts_its_calls,
    pooled_by_functions, membranes_only,
]  # fmt: skip


@pytest.mark.parametrize("forward", STYLES, ids=lambda forward: forward.__name__)
def test_a_network_can_be_written_in_many_ways(forward: Forward) -> None:
    torch.manual_seed(1)
    net = net_of(forward)
    for layer in (net.fc1, net.fc2):
        layer.weight.data = torch.round(torch.randn_like(layer.weight) * 64) / 64
        layer.bias.data = torch.round(layer.bias.data * 64) / 64
    network = import_network(net, (6,), "net")
    random = np.random.default_rng(0)
    frames = random.poisson(0.5, (12, 6)).astype(np.float32)
    theirs = execute.trace(net, frames)
    ours = execute.run_reference(network, frames)
    found = parity.compare(network, ours.spikes, theirs.spikes, theirs.potentials)
    assert found.differing == 0, str(found)
    assert found.spikes
    for layer, membranes in theirs.membranes.items():
        np.testing.assert_array_equal(ours.membranes[layer], membranes)


def test_steps_after_those_that_were_traced_are_compared_too() -> None:
    def turns(net: Any, x: Any) -> Any:
        net.step += 1
        return net.lif1(net.fc1(x) * 0.5 if net.step > 20 else net.fc1(x))

    def has_a_window(net: Any, x: Any) -> Any:
        cur = net.fc1(x)
        if len(x) > calling.TRACED_STEPS:
            raise ValueError("too long")
        return torch.stack([net.lif1(each) for each in cur])

    torch.manual_seed(1)
    with pytest.raises(SpikecError, match=r"lif1'.*depend on the time step"):
        import_network(net_of(turns), (6,), "net")
    with pytest.raises(SpikecError, match=r"not for 64 \(too long\); make it run for any number"):
        import_network(net_of(has_a_window), (6,), "net")


def test_membranes_are_compared_where_no_spike_tells() -> None:
    def turns(net: Any, x: Any) -> Any:
        net.step += 1
        cur = net.fc1(x) * 0.01
        return net.lif1(cur * 2 if net.step > 27 else cur)

    torch.manual_seed(1)
    with pytest.raises(SpikecError, match="lif1', step 27: membranes differ"):
        import_network(net_of(turns), (6,), "net")


# What is refused.


def depends_on_data(net: Any, x: Any) -> Any:
    spk = net.lif1(net.fc1(x))
    if spk.sum() > 0:
        spk = spk * 2
    return net.lif2(net.fc2(spk))


def reads_a_number(net: Any, x: Any) -> Any:
    spk = net.lif1(net.fc1(x))
    return net.lif2(net.fc2(spk * spk.max().item()))


def leaves_torch(net: Any, x: Any) -> Any:
    return net.lif1(torch.tensor(net.fc1(x).numpy()))


def indexes_by_a_tensor(net: Any, x: Any) -> Any:
    spk = net.lif1(net.fc1(x))
    return net.lif2(net.fc2(spk[:, spk.argsort(1)[0]]))


def layer_depends_on_step(net: Any, x: Any) -> Any:
    net.step += 1
    cur = net.fc1(x)
    return net.lif1(net.fc2(cur) if net.step == 3 else cur)


def constant_depends_on_step(net: Any, x: Any) -> Any:
    net.step += 1
    return net.lif1(net.fc1(x) * net.step)


def adds_in_place(net: Any, x: Any) -> Any:
    cur = net.fc1(x)
    part = cur.view(2, 2)
    cur += 1
    return net.lif1(part.view(1, 4))


def adds_twice_in_place(net: Any, x: Any) -> Any:
    cur = net.fc1(x)
    cur.add_(1, alpha=2)
    return net.lif1(cur)


def sets_data(net: Any, x: Any) -> Any:
    cur = net.fc1(x)
    cur.data = cur.data * 2
    return net.lif1(cur)


def records_in_place(net: Any, x: Any) -> Any:
    record = torch.zeros(5, 1, 4)
    for step in range(5):
        record[step] = net.lif1(net.fc1(x))
        record[0] = 1
    return record


def draws_once(net: Any, x: Any) -> Any:
    noise = torch.randn(1, 4)
    return torch.stack([net.lif1(net.fc1(frame) + noise) for frame in x])


def draws_by_numpy(net: Any, x: Any) -> Any:
    return net.lif1(net.fc1(x) + float(np.random.rand() > 1))


def draws_spikes(net: Any, x: Any) -> Any:
    return net.lif1(net.fc1(torch.bernoulli(x)))


def threshold_grows(net: Any, x: Any) -> Any:
    spk = net.lif1(net.fc1(x))
    net.lif1.threshold = net.lif1.threshold + 0.001 * spk.mean()
    return spk


def weights_decay(net: Any, x: Any) -> Any:
    net.fc1.weight.data = net.fc1.weight.data * 0.999
    return net.lif1(net.fc1(x))


def filled_by_data(net: Any, x: Any) -> Any:
    cur = net.fc1(x)
    return net.lif1(cur + torch.full_like(cur, x.max() > 100))


def filled_zeros(net: Any, x: Any) -> Any:
    before = torch.zeros(1, 4)
    before[0].fill_(1.0)
    for frame in x:
        before = net.lif1(net.fc1(frame) - before)
    return before


def window(net: Any, x: Any) -> Any:
    cur = net.fc1(x) * torch.linspace(0, 2, len(x)).view(-1, 1, 1)
    return torch.stack([net.lif1(each) for each in cur])


def begins_with_1(net: Any, x: Any) -> Any:
    before: Any = 1
    for frame in x:
        before = net.lif1(net.fc1(frame) - before)
    return before


def class_of_counts(net: Any, x: Any) -> Any:
    return F.softmax(torch.stack([net.lif1(net.fc1(frame)) for frame in x]).sum(0), dim=1)


def unsupported_function(net: Any, x: Any) -> Any:
    return net.lif1(F.softmax(net.fc1(x), dim=1))


def unsupported_layer(net: Any, x: Any) -> Any:
    return net.lif1(net.act(net.fc1(x)))


class WithTanh(Net):
    """One more layer, which is not supported."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Tanh()


def random_dropout(net: Any, x: Any) -> Any:
    return net.lif1(F.dropout(net.fc1(x)))


def shared_neurons(net: Any, x: Any) -> Any:
    return net.lif2(net.lif1(net.fc2(net.lif1(net.fc1(x)))))


def only_shared_neurons(net: Any, x: Any) -> Any:
    return net.lif1(net.fc2(net.lif1(net.fc1(x))))


def reset_in_every_step(net: Any, x: Any) -> Any:
    net.lif1.reset_mem()
    return net.lif1(net.fc1(x))


def membrane_read(net: Any, x: Any) -> Any:
    net.lif1(net.fc1(x))
    return net.lif2(net.fc2(net.lif1.mem))


def membrane_changed(net: Any, x: Any) -> Any:
    net.lif1.mem = net.lif1.mem * 0.5
    return net.lif1(net.fc1(x))


def current_returned(net: Any, x: Any) -> Any:
    cur = net.fc1(x)
    return net.lif1(cur), cur


def constant_returned(net: Any, x: Any) -> Any:
    net.lif1(net.fc1(x))
    return torch.ones(1, 4)


def looks_ahead(net: Any, x: Any) -> Any:
    return [net.lif1(net.fc1(x[step])) for step in reversed(range(x.size(0)))]


def does_not_fit(net: Any, x: Any) -> Any:
    return net.lif1(net.fc2(x))


REFUSED: list[tuple[Forward, list[str]]] = [
    (depends_on_data, ["reads the numbers in a tensor (bool", "depend on the data"]),
    (reads_a_number, ["reads the numbers in a tensor (item", "without if, item()"]),
    (leaves_torch, ["reads the numbers in a tensor (numpy"]),
    (indexes_by_a_tensor, ["not supported: argsort"]),
    (layer_depends_on_step, ["same in every time step", "'fc1'", "'fc2'", "step 3"]),
    (constant_depends_on_step, ["same in every time step", "mul", "step 2"]),
    (adds_in_place, ["in place (add", "x = x + y"]),
    (adds_twice_in_place, ["in place (add", "x = x + y"]),
    (sets_data, ["in place (data", "x = x + y"]),
    (records_in_place, ["in place (setitem", "torch.stack"]),
    (draws_once, ["draws random numbers", "draw them outside"]),
    (draws_by_numpy, ["draws random numbers", "draw them outside"]),
    (draws_spikes, ["bernoulli", "draws random numbers, too (as spikegen.rate does)"]),
    (threshold_grows, ["layer 'lif1' (Leaky)", "its threshold is changed while the network runs"]),
    (weights_decay, ["layer 'fc1' (Linear)", "its weight is changed while the network runs"]),
    (filled_by_data, ["not supported: max"]),
    (filled_zeros, ["fills zeros", "with other numbers", "start from zeros"]),
    (window, ["mul", "tensors of different shapes"]),
    (begins_with_1, ["same in every time step", "sub"]),
    (class_of_counts, ["softmax", "made of the host's", "of every step"]),
    (unsupported_function, ["not supported: softmax", "may use layers, neurons, flatten"]),
    (unsupported_layer, ["layer 'act' (Tanh)", "is not supported", "supported are Conv1d"]),
    (random_dropout, ["dropout", "at random unless training=self.training"]),
    (shared_neurons, ["layer 'lif1' (Leaky)", "share one membrane", "one Leaky for each place"]),
    (only_shared_neurons, ["'lif1' stands in two places", "build one Leaky for each"]),
    (reset_in_every_step, ["layer 'lif1' (Leaky)", "set back to 0 after step 1"]),
    (membrane_read, ["layer 'lif1' (Leaky)", "mem is read", "only spikes"]),
    (membrane_changed, ["layer 'lif1' (Leaky)", "not what it returned in the step before"]),
    (current_returned, ["layer 'fc1' (Linear)", "neither spikes nor a neuron's state"]),
    (constant_returned, ["does not depend on the input", "return spikes"]),
    (looks_ahead, ["time step 7 of the input in step 1", "x[step]"]),
    (does_not_fit, ["cannot be run on frames of 6", "1x6 and 4x4", "check the input shape"]),
]


WITHOUT_A_LINE = (
    unsupported_layer,
    membrane_read,
    current_returned,
    constant_returned,
    looks_ahead,
    draws_once,
    draws_by_numpy,
)
"""What names a layer, a result or a time step instead."""


@pytest.mark.parametrize(
    ("forward", "parts"), REFUSED, ids=lambda case: getattr(case, "__name__", "")
)
def test_what_cannot_be_compiled_is_refused_with_the_place_and_the_fix(
    forward: Forward, parts: list[str]
) -> None:
    (problem,) = check(net_of(forward), (6,))
    text = str(problem)
    for part in parts:
        assert part in text, f"{part!r} is not in {text!r}"
    lines, first = inspect.getsourcelines(forward)
    places = [f"forward_test.py:{line}" for line in range(first, first + len(lines))]
    assert any(place in text for place in places) or forward in WITHOUT_A_LINE, text


class Regression(nn.Module):
    """Returns a membrane over time, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.lif = snntorch.Leaky(beta=0.5, reset_mechanism="none")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem = self.lif.init_leaky()
        record = []
        for step in range(x.size(0)):
            _, mem = self.lif(self.fc(x[step]), mem)
            record.append(mem)
        return torch.stack(record)


def test_a_module_that_returns_only_membranes_says_where_they_are() -> None:
    torch.manual_seed(0)
    net = Regression().eval()
    with pytest.warns(UserWarning, match="returns membranes and no spikes.*host.membranes"):
        model = spikec.compile(net, (6,))
    frames = np.random.default_rng(0).random((7, 6)).astype(np.float32)
    with torch.no_grad():
        theirs = net(torch.tensor(frames)[:, None])[:, 0].numpy()
    assert np.abs(model.build().membranes(frames)["lif"] - theirs).max() < 1e-6


def test_a_membrane_in_the_middle_of_two_levels_takes_the_first_in_c_as_in_snntorch() -> None:
    levels = snntorch.functional.quant.state_quant(num_bits=1, upper_limit=0.0)  # -1 and 1
    lif = snntorch.Leaky(beta=0.5, threshold=2.0, init_hidden=True, state_quant=levels, output=True)
    net = nn.Sequential(lif).eval()
    frames = np.array([[0.0], [0.5], [0.5], [3.0]], np.float32)
    kept = spikec.compile(net, (1,)).build().membranes(frames)["0"]
    theirs = execute.trace(net, frames).membranes["0"]
    assert kept[0] == -1
    assert np.array_equal(kept, theirs)
