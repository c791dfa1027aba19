# SPDX-License-Identifier: Apache-2.0
"""NIR graphs: spikes against SpikingJelly's own NIR importer, against the equations, and refusals.

SpikingJelly computes with forward Euler and resets at once, too. Weights, decays and gains here
are dyadic and thresholds are not, so that no membrane meets its threshold, where SpikingJelly
would fire and NIR does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import numpy.typing as npt
import pytest
import snntorch as snn
import torch
from snntorch.export_nir import export_to_nir
from spikingjelly.activation_based.nir_exchange import import_from_nir
from torch import nn

from spikec.cli import main as cli
from spikec.errors import SpikecError
from spikec.frontends.nir import read_nir
from spikec.frontends.nir_layers import Steps
from spikec.frontends.pytorch import execute
from spikec.ir import network as ir
from spikec.model import Model
from spikec.semantics import reference

DT = 2.0**-13
"""Seconds; with it the time constants below give dyadic decays."""
RNG = np.random.default_rng()
Floats = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test has its own numbers, whichever others run."""
    RNG.bit_generator.state = np.random.PCG64(0).state


def dyadic(*shape: int) -> Floats:
    """Weights whose sums are exact."""
    return (RNG.integers(-24, 40, shape) / 64).astype(np.float32)


def full(shape: int | tuple[int, ...], value: float) -> Floats:
    return np.full(shape, value, np.float32)


def lif(shape: int | tuple[int, ...], tau: float, r: float, **other: Any) -> nir.LIF:
    """Neurons with the time constant ``tau`` steps."""
    fields = {"v_leak": full(shape, 0), "v_reset": full(shape, 0), "v_threshold": full(shape, 0.9)}
    return nir.LIF(tau=full(shape, tau * DT), r=full(shape, r), **{**fields, **other})


def cuba(shape: int, tau_syn: float, tau_mem: float) -> nir.CubaLIF:
    return nir.CubaLIF(
        tau_syn=full(shape, tau_syn * DT), tau_mem=full(shape, tau_mem * DT),
        r=full(shape, tau_mem), w_in=full(shape, tau_syn), v_leak=full(shape, 0),
        v_threshold=full(shape, 3.9), v_reset=full(shape, 0),
    )  # fmt: skip


def conv2d(out: int, inputs: int, kernel: int, padding: int = 0) -> nir.Conv2d:
    return nir.Conv2d(
        input_shape=None, weight=dyadic(out, inputs, kernel, kernel), bias=dyadic(out),
        stride=(1, 1), padding=(padding, padding), dilation=(1, 1), groups=1,
    )  # fmt: skip


def flatten(*shape: int) -> nir.Flatten:
    return nir.Flatten(np.array(shape), 0, -1)


def line(*nodes: nir.NIRNode, shape: tuple[int, ...]) -> nir.NIRGraph:
    """Nodes one after the other."""
    return nir.NIRGraph.from_list(nir.Input(np.array(shape)), *nodes)


def lif_chain() -> nir.NIRGraph:
    nodes = nir.Linear(dyadic(20, 12)), lif(20, 4, 1), nir.Affine(dyadic(8, 20), dyadic(8))
    return line(*nodes, lif(8, 4, 4), shape=(12,))


def cuba_chain() -> nir.NIRGraph:
    return line(
        nir.Linear(dyadic(20, 12)), cuba(20, 2, 4), nir.Linear(dyadic(8, 20)), cuba(8, 4, 2),
        shape=(12,),
    )  # fmt: skip


def if_with_leak() -> nir.NIRGraph:
    hidden = nir.IF(r=full(8, 1 / DT), v_threshold=full(8, 0.9), v_reset=full(8, 0))
    return line(
        nir.Linear(dyadic(8, 12)), hidden, nir.Linear(dyadic(5, 8)), lif(5, 2, 1), shape=(12,)
    )


def subgraph() -> nir.NIRGraph:
    nodes = {
        "input": nir.Input(np.array([20])), "lif": cuba(20, 2, 4),
        "rec": nir.Linear(dyadic(20, 20) / 4), "output": nir.Output(np.array([20])),
    }  # fmt: skip
    edges = [("input", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    inner = nir.NIRGraph(nodes, edges)
    return line(
        nir.Linear(dyadic(20, 12)), inner, nir.Linear(dyadic(8, 20)), lif(8, 4, 4), shape=(12,)
    )


def cycle() -> nir.NIRGraph:
    """A recurrent layer, and a loop over two layers."""
    nodes = {
        "output": nir.Output(np.array([8])), "back": nir.Linear(dyadic(20, 8) / 4),
        "second": lif(8, 4, 4), "down": nir.Linear(dyadic(8, 20)), "first": lif(20, 4, 4),
        "rec": nir.Linear(dyadic(20, 20) / 4), "up": nir.Linear(dyadic(20, 12)),
        "input": nir.Input(np.array([12])),
    }  # fmt: skip
    edges = [
        ("back", "first"), ("rec", "first"), ("first", "rec"), ("input", "up"), ("up", "first"),
        ("first", "down"), ("down", "second"), ("second", "back"), ("second", "output"),
    ]  # fmt: skip
    return nir.NIRGraph(nodes, edges)


def maps() -> nir.NIRGraph:
    two = np.array([2, 2])
    return line(
        conv2d(4, 2, 3, padding=1), lif((4, 9, 9), 4, 4),
        nir.AvgPool2d(kernel_size=two, stride=two, padding=np.array([0, 0])), conv2d(6, 4, 3),
        lif((6, 2, 2), 4, 1), flatten(6, 2, 2), nir.Linear(dyadic(5, 24)), lif(5, 4, 4),
        shape=(2, 9, 9),
    )  # fmt: skip


def lines() -> nir.NIRGraph:
    conv = nir.Conv1d(
        input_shape=None, weight=dyadic(4, 3, 5), bias=dyadic(4), stride=2, padding=1, dilation=1,
        groups=1,
    )  # fmt: skip
    nodes = conv, lif((4, 9), 4, 4), flatten(4, 9), nir.Linear(dyadic(5, 36)), lif(5, 4, 4)
    return line(*nodes, shape=(3, 20))


def two_loops() -> nir.NIRGraph:
    """A recurrent layer that leads to one that is nearer to the input."""
    nodes = {
        "input": nir.Input(np.array([12])), "near": nir.Linear(dyadic(9, 12)), "b": lif(9, 4, 4),
        "b_rec": nir.Linear(dyadic(9, 9) / 4), "far": nir.Linear(dyadic(7, 12)),
        "halved": nir.Linear(np.eye(7, dtype=np.float32) / 2), "a": lif(7, 4, 4),
        "a_rec": nir.Linear(dyadic(7, 7) / 4), "across": nir.Linear(dyadic(9, 7) / 4),
        "output": nir.Output(np.array([9])),
    }  # fmt: skip
    edges = [
        ("input", "near"), ("near", "b"), ("b", "b_rec"), ("b_rec", "b"), ("b", "output"),
        ("input", "far"), ("far", "halved"), ("halved", "a"), ("a", "a_rec"), ("a_rec", "a"),
        ("a", "across"), ("across", "b"),
    ]  # fmt: skip
    return nir.NIRGraph(nodes, edges)


GRAPHS = [lif_chain, cuba_chain, if_with_leak, subgraph, cycle, two_loops, maps, lines]


def saved(graph: nir.NIRGraph, folder: Path) -> Path:
    nir.write(folder / "graph.nir", graph)
    return folder / "graph.nir"


def spikes_for(axes: tuple[int, ...], steps: int = 100) -> Floats:
    return (np.random.default_rng(1).random((steps, *axes)) < 0.35).astype(np.float32)


def outputs(network: ir.Network, frames: Floats) -> Floats:
    """The reference's outputs, ``[T, *axes]``."""
    found = reference.run(network, network.input.to_memory(frames))
    result: Floats = network.output.shape.to_axes(found.values[network.output.name])
    return result


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_a_graph_spikes_as_in_spikingjelly(
    make: Callable[[], nir.NIRGraph], tmp_path: Path
) -> None:
    graph = make()
    path = saved(graph, tmp_path)
    network = read_nir(path, Steps(dt=DT))
    frames = spikes_for(network.input.axes)
    simulator = import_from_nir(graph, dt=DT)
    state, theirs = None, []
    with torch.no_grad():
        for frame in frames:
            spikes, state = simulator(torch.from_numpy(frame)[None], state)
            theirs.append(spikes[0].numpy())
    np.testing.assert_array_equal(outputs(network, frames), theirs)
    np.testing.assert_array_equal(Model.of(network, "graph", "f32").build().run(frames), theirs)
    assert 10 < np.sum(theirs) < 0.96 * np.size(theirs)


def euler(node: nir.NIRNode, drive: npt.NDArray[np.float64], steps: Steps) -> dict[str, Any]:
    """Neurons of one node by NIR's equations in double: what they hand on, and their membranes."""

    def get(name: str) -> npt.NDArray[np.float64]:
        return np.asarray(getattr(node, name), np.float64)

    fires = hasattr(node, "v_threshold")
    v, current = np.zeros(drive.shape[1:]), np.zeros(drive.shape[1:])
    above = np.zeros(v.shape, bool)
    spikes, membranes = [], []
    for given in drive:
        if fires and steps.reset == "zero" and steps.reset_delay:
            v = np.where(above, get("v_reset"), v)
        match node:
            case nir.I() | nir.IF():
                v = v + steps.dt * get("r") * given
            case nir.LI() | nir.LIF():
                v = v + steps.dt / get("tau") * ((get("v_leak") - v) + get("r") * given)
            case nir.CubaLI() | nir.CubaLIF():
                current = current + steps.dt / get("tau_syn") * (get("w_in") * given - current)
                v = v + steps.dt / get("tau_mem") * ((get("v_leak") - v) + get("r") * current)
        if fires and steps.reset == "subtract" and steps.reset_delay:
            v = v - np.where(above, get("v_threshold"), 0)
        above = v > get("v_threshold") if fires else np.zeros(v.shape, bool)
        spikes.append(above)
        if fires and not steps.reset_delay and steps.reset == "zero":
            v = np.where(above, get("v_reset"), v)
        elif fires and not steps.reset_delay and steps.reset == "subtract":
            v = v - np.where(above, get("v_threshold"), 0)
        membranes.append(v)
    return {"spikes": np.array(spikes, float), "membranes": np.array(membranes)}


def varied(shape: int, low: float, high: float) -> Floats:
    return RNG.uniform(low, high, shape).astype(np.float32)


NEURONS: dict[str, Callable[[int], nir.NIRNode]] = {
    "I": lambda n: nir.I(r=varied(n, 500, 2000)),
    "IF": lambda n: nir.IF(
        r=varied(n, 500, 2000), v_threshold=varied(n, 0.8, 1.2), v_reset=varied(n, -0.5, 0.5)
    ),
    "LI": lambda n: nir.LI(
        tau=varied(n, 2e-3, 9e-3), r=varied(n, 1, 9), v_leak=varied(n, -0.2, 0.2)
    ),
    "LIF": lambda n: nir.LIF(
        tau=varied(n, 2e-3, 9e-3), r=varied(n, 1, 9), v_leak=varied(n, -0.2, 0.2),
        v_threshold=varied(n, 0.8, 1.2), v_reset=varied(n, -0.5, 0.5),
    ),
    "CubaLI": lambda n: nir.CubaLI(
        tau_syn=varied(n, 2e-3, 9e-3), tau_mem=varied(n, 2e-3, 9e-3), r=varied(n, 1, 9),
        v_leak=varied(n, -0.2, 0.2), w_in=varied(n, 1, 3),
    ),
    "CubaLIF": lambda n: nir.CubaLIF(
        tau_syn=varied(n, 2e-3, 9e-3), tau_mem=varied(n, 2e-3, 9e-3), r=varied(n, 1, 9),
        v_leak=varied(n, -0.2, 0.2), w_in=varied(n, 1, 3), v_threshold=varied(n, 0.8, 1.2),
        v_reset=varied(n, -0.5, 0.5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("delay", [False, True])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("kind", NEURONS)
def test_neurons_of_all_kinds_follow_nirs_equations(
    kind: str, reset: ir.ResetMechanism, delay: bool, tmp_path: Path
) -> None:
    weight, node = RNG.normal(0.3, 0.6, (10, 6)).astype(np.float32), NEURONS[kind](10)
    steps = Steps(5e-4, reset, delay)
    network = read_nir(saved(line(nir.Linear(weight), node, shape=(6,)), tmp_path), steps)
    frames = spikes_for((6,))
    found = reference.run(network, network.input.to_memory(frames))
    wanted = euler(node, frames.astype(np.float64) @ weight.T.astype(np.float64), steps)
    ours = found.membranes[network.output.name].reshape(100, 10)
    np.testing.assert_allclose(ours, wanted["membranes"], rtol=1e-4, atol=1e-4)
    spikes = found.spikes[network.output.name].reshape(100, 10)
    np.testing.assert_array_equal(spikes, wanted["spikes"])
    assert (spikes.sum() > 50) == ("F" in kind)
    if reset != "zero":  # in C a program is a program
        return
    host = Model.of(network, "one", "f32").build()
    np.testing.assert_array_equal(
        host.membranes(frames)[network.output.source].reshape(100, 10), ours
    )


def test_scale_sum_pool_threshold_and_sums_of_edges_compute_what_they_say(tmp_path: Path) -> None:
    scale = dyadic(2, 4, 4)
    nodes = {
        "input": nir.Input(np.array([2, 4, 4])), "scale": nir.Scale(scale),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": flatten(2, 2, 2), "one": nir.Linear(dyadic(3, 8)), "two": nir.Linear(dyadic(3, 8)),
        "scaled": nir.Scale(full(3, 0.5)), "thr": nir.Threshold(full(3, 0.3)),
        "output": nir.Output(np.array([3])),
    }  # fmt: skip
    edges = [
        ("input", "scale"), ("scale", "pool"), ("pool", "flat"), ("flat", "one"), ("flat", "two"),
        ("one", "scaled"), ("two", "scaled"), ("scaled", "thr"), ("one", "thr"), ("thr", "output"),
    ]  # fmt: skip
    network = read_nir(saved(nir.NIRGraph(nodes, edges), tmp_path))
    frames = spikes_for((2, 4, 4))
    pooled = (frames * scale).reshape(100, 2, 2, 2, 2, 2).sum(axis=(3, 5)).reshape(100, 8)
    one, two = pooled @ nodes["one"].weight.T, pooled @ nodes["two"].weight.T
    wanted = (one + two) * np.float32(0.5) + one > np.float32(0.3)
    np.testing.assert_array_equal(outputs(network, frames), wanted)
    assert 50 < wanted.sum() < 280
    np.testing.assert_array_equal(Model.of(network, "sums", "f32").build().run(frames), wanted)


def test_only_what_comes_round_a_loop_is_a_time_step_late(tmp_path: Path) -> None:
    network = read_nir(saved(two_loops(), tmp_path), Steps(DT))
    late = {layer.source for layer in network.layers if isinstance(layer, ir.Previous)}
    assert late == {"a", "b"}
    sources = {layer.name: layer.source for layer in network.layers}
    read = {layer.source: {sources.get(name) for name in layer.inputs} for layer in network.layers}
    assert read["across"] == {"a"}
    across = next(layer for layer in network.layers if layer.source == "across")
    assert not isinstance(network.layer(across.inputs[0]), ir.Previous)


@pytest.mark.parametrize("beta", [0.0, 0.05, 0.3, 0.45, 0.75, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("wide", [False, True])
def test_a_decay_survives_snntorchs_exporter(beta: float, wide: bool, tmp_path: Path) -> None:
    """Its float32 tau does not say exactly which beta there was, and the gain is not exactly 1."""
    kept: npt.NDArray[Any] = full(3, beta).astype(np.float64 if wide else np.float32)
    tau = (1e-4 / (1 - kept)).astype(kept.dtype)
    node = nir.LIF(tau=tau, r=tau / 1e-4, v_leak=0 * kept, v_threshold=kept, v_reset=0 * kept)
    network = read_nir(saved(line(nir.Linear(dyadic(3, 2)), node, shape=(2,)), tmp_path))
    leaky = network.output
    assert isinstance(leaky, ir.Leaky), "the gain is not 1"
    assert leaky.beta.tolist() == [[[np.float32(beta)]]]


class Net(nn.Module):
    """A network as snnTorch's exporter wants it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        every = {"init_hidden": True, "reset_mechanism": "subtract"}
        self.fc1 = nn.Linear(12, 20)
        self.lif1 = snn.RLeaky(beta=0.8, linear_features=20, **every)
        self.fc2 = nn.Linear(20, 6, bias=False)
        alpha, beta = torch.full((6,), 0.6), torch.full((6,), 0.9)  # it exports no scalars
        self.lif2 = snn.Synaptic(alpha, beta, torch.ones(6), output=True, **every)
        for module in (self.fc1, self.fc2):
            module.weight.data *= 3

    def forward(self, x: torch.Tensor) -> Any:
        return self.lif2(self.fc2(self.lif1(self.fc1(x))))


def test_what_snntorch_exports_spikes_as_snntorch_does_with_its_reset(tmp_path: Path) -> None:
    net = Net().eval()
    graph = export_to_nir(net, torch.zeros(1, 12), ignore_dims=[0])
    network = read_nir(saved(graph, tmp_path), Steps(reset="subtract", reset_delay=True))
    frames = spikes_for((12,))
    theirs = execute.trace(Net().eval(), frames)
    np.testing.assert_array_equal(outputs(network, frames), theirs.spikes["lif2"])
    assert theirs.spikes["lif2"].sum() > 20


def small(**changes: Any) -> nir.NIRGraph:
    nodes = {
        "input": nir.Input(np.array([3])), "fc": nir.Linear(dyadic(4, 3)), "lif": lif(4, 4, 4),
        "output": nir.Output(np.array([4])), **changes.get("nodes", {}),
    }  # fmt: skip
    edges = changes.get("edges", [("input", "fc"), ("fc", "lif"), ("lif", "output")])
    return nir.NIRGraph(nodes, edges, type_check=False)


def conv_with(**changes: Any) -> nir.NIRGraph:
    conv = conv2d(4, 2, 3)
    conv.input_shape = (6, 6)
    for name, value in changes.items():
        setattr(conv, name, value)
    return nir.NIRGraph(
        {
            "input": nir.Input(np.array([2, 6, 6])), "conv": conv, "lif": lif((4, 4, 4), 4, 4),
            "output": nir.Output(np.array([4, 4, 4])),
        },
        [("input", "conv"), ("conv", "lif"), ("lif", "output")],
        type_check=False,
    )  # fmt: skip


def loop_without_neurons() -> nir.NIRGraph:
    nodes = {"sq": nir.Linear(dyadic(4, 4))}
    edges = [("input", "fc"), ("fc", "sq"), ("sq", "sq"), ("sq", "lif"), ("lif", "output")]
    return small(nodes=nodes, edges=edges)


TO_END = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
REFUSED: list[tuple[str, nir.NIRGraph, list[str]]] = [
    ("two inputs", small(nodes={"in2": nir.Input(np.array([3]))}, edges=[*TO_END, ("in2", "fc")]),
     ["2 nodes of type Input (in2, input)", "exactly one"]),
    ("no output", nir.NIRGraph({"input": nir.Input(np.array([3])), "lif": lif(3, 4, 4)},
                               [("input", "lif")], type_check=False),
     ["0 nodes of type Output"]),
    ("missing edge", small(edges=[("input", "fc"), ("lif", "output")]),
     ["'fc' (Linear)", "on no way from 'input' to 'output'"]),
    ("disconnected", small(nodes={"lost": nir.Scale(full(3, 2))}), ["'lost' (Scale)", "on no way"]),
    ("no edges", small(edges=[]), ["on no way from"]),
    ("unknown end", small(edges=[*TO_END, ("lif", "nowhere")]),
     ["an edge lif -> nowhere", "no node 'nowhere'"]),
    ("an edge twice", small(edges=[*TO_END, ("fc", "lif")]), ["the edge fc -> lif twice"]),
    ("Delay", small(nodes={"wait": nir.Delay(full(4, 1e-3))},
                    edges=[("input", "fc"), ("fc", "wait"), ("wait", "lif"), ("lif", "output")]),
     ["'wait'", "'Delay'", "not supported"]),
    ("wrong weight", small(nodes={"fc": nir.Linear(dyadic(4, 5))}),
     ["'fc' (Linear)", "(4, 5)", "reads 3 values"]),
    ("weight of three axes", small(nodes={"fc": nir.Linear(dyadic(2, 4, 3))}), ["(2, 4, 3)"]),
    ("wrong bias", small(nodes={"fc": nir.Affine(dyadic(4, 3), dyadic(3))}),
     ["'fc' (Affine)", "bias is of shape (3,)"]),
    ("NaN", small(nodes={"fc": nir.Linear(full((4, 3), np.nan))}), ["weight holds NaN"]),
    ("infinite tau", small(nodes={"lif": lif(4, np.inf, 1)}),
     ["'lif' (LIF)", "tau holds NaN, infinity"]),
    ("tau of 0", small(nodes={"lif": lif(4, 0, 1)}), ["'lif'", "tau of 0 s", "--nir-dt"]),
    ("short tau", small(nodes={"lif": lif(4, 0.4, 1)}), ["shorter than a time step of 0.0001"]),
    ("other neurons", small(nodes={"lif": lif(5, 4, 4)}), ["of shape (5,)", "(4,)"]),
    ("ends in weights", small(edges=[("input", "lif"), ("lif", "fc"), ("fc", "output")],
                              nodes={"lif": lif(3, 4, 4)}),
     ["'output' (Output) reads 'fc' (Linear)", "which has no neurons"]),
    ("two ends", small(nodes={"l2": lif(4, 4, 4)},
                       edges=[*TO_END, ("fc", "l2"), ("l2", "output")]),
     ["'output' (Output) sums lif, l2"]),
    ("other shapes summed", small(edges=[*TO_END, ("input", "lif")]), ["'lif'", "sums 4 and 3"]),
    ("loop", loop_without_neurons(), ["sq form a loop without neurons"]),
    ("map into Linear", small(nodes={"input": nir.Input(np.array([1, 3, 3]))}),
     ["reads a map 1x3x3", "Flatten"]),
    ("batch axis", small(nodes={"input": nir.Input(np.array([1, 1, 3, 3]))}),
     ["'input' (Input)", "(1, 1, 3, 3)", "batch"]),
    ("empty shape", small(nodes={"input": nir.Input(np.array([0]))}), ["empty or too large"]),
    ("conv on a line", small(nodes={"fc": nir.SumPool2d(full(2, 2), full(2, 2), full(2, 0))}),
     ["'fc' (SumPool2d)", "needs (C, H, W)"]),
    ("conv of other channels", conv_with(weight=dyadic(4, 3, 3, 3)), ["(4, 3, 3, 3)", "2x6x6"]),
    ("large kernel", conv_with(weight=dyadic(4, 2, 9, 9)), ["does not fit what it reads"]),
    ("stride of 0", conv_with(stride=(0, 1)), ["'conv'", "stride"]),
    ("padding by words", conv_with(padding="circular"), ["padding is circular"]),
    ("half a flatten", line(lif((2, 3, 3), 4, 4), nir.Flatten(np.array([2, 3, 3]), 1, -1),
                            nir.Flatten(np.array([2, 9]), 0, -1), nir.Linear(dyadic(4, 18)),
                            lif(4, 4, 4), shape=(2, 3, 3)),
     ["flattens the axes 1 to -1", "start_dim=0"]),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "parts"), [case[1:] for case in REFUSED],
                         ids=[case[0] for case in REFUSED])  # fmt: skip
def test_a_graph_that_cannot_be_compiled_is_refused_with_a_sentence(
    graph: nir.NIRGraph, parts: list[str], tmp_path: Path
) -> None:
    with pytest.raises(SpikecError, match=r"graph\.nir cannot be compiled: ") as refused:
        read_nir(saved(graph, tmp_path))
    for part in parts:
        assert part in str(refused.value)


def test_a_damaged_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = saved(small(), tmp_path)
    whole = path.read_bytes()
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:size])
        with pytest.raises(SpikecError, match=r"graph\.nir"):
            read_nir(path)
    path.write_bytes(b"\x80\x02}q\x00." * 100)
    with pytest.raises(SpikecError, match="cannot be read as a NIR file"):
        read_nir(path)
    with pytest.raises(SpikecError, match=r"none\.nir: cannot be read \(No such file"):
        read_nir(tmp_path / "none.nir")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda file: file.__delitem__("node"), ["cannot be read as a NIR file"]),
        (lambda file: file["node"].__delitem__("edges"), ["no nodes or no edges"]),
        (lambda file: file["node/nodes/lif"].__delitem__("tau"), ["'lif' (LIF)", "has no tau"]),
        (lambda file: file["node/nodes/lif"].__delitem__("type"), ["'lif' has no type"]),
        (lambda file: file["node/nodes/fc"].__delitem__("weight"), ["'fc'", "has no weight"]),
        (lambda file: file["node/nodes/input"].__delitem__("shape"), ["'input'", "its shape is"]),
        (lambda file: file["node/nodes/lif/type"].__setitem__((), "Izhikevich"),
         ["'lif' is of type 'Izhikevich'", "supported are Affine"]),
        (lambda file: file["node/type"].__setitem__((), "LIF"), ["a single LIF, not a graph"]),
    ],
)  # fmt: skip
def test_a_file_that_lacks_something_is_refused_with_a_sentence(
    change: Callable[[Any], None], parts: list[str], tmp_path: Path
) -> None:
    path = saved(small(), tmp_path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(SpikecError) as refused:
        read_nir(path)
    for part in parts:
        assert part in str(refused.value)


def test_a_reset_to_v_reset_is_the_default_when_a_file_has_none(tmp_path: Path) -> None:
    path = saved(small(), tmp_path)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/lif/v_reset"]
    leaky = read_nir(path, Steps(DT)).output
    assert isinstance(leaky, ir.Leaky)
    assert (leaky.reset, leaky.reset_delay) == ("zero", False)


def test_the_verbs_take_a_graph_and_say_how_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(lif_chain(), tmp_path)
    frames = spikes_for((12,))
    np.save(tmp_path / "frames.npy", frames)
    monkeypatch.chdir(tmp_path)
    model = ["graph.nir", "--nir-dt", str(DT)]
    assert cli.main(["check", *model]) == 0
    said = "graph.nir: read as forward Euler, time steps of 0.00012207 s; a neuron that fires is "
    assert capsys.readouterr().out.startswith(said + "set to v_reset, at once.\n")
    other = ["--nir-reset", "subtract", "--nir-reset-delay"]
    assert cli.main(["check", *model, *other]) == 0
    assert "has v_threshold subtracted, in the next time step" in capsys.readouterr().out
    for options, steps in (([], Steps(DT)), (other, Steps(DT, "subtract", True))):
        assert cli.main(["run", *model, *options, "--events", "frames.npy", "--json"]) == 0
        counts = json.loads(capsys.readouterr().out)[0]["counts"]
        assert counts == outputs(read_nir(Path("graph.nir"), steps), frames).sum(axis=0).tolist()
    assert cli.main(["compile", *model, "--name", "graph", "--out", "out"]) == 0
    assert "graph.nir" in Path("out/graph.h").read_text()
    assert cli.main(["save", *model, "--out", "graph.spikec"]) == 0
    capsys.readouterr()
    assert cli.main(["run", *model, "--events", "frames.npy", "--input", "13"]) == 1
    assert "--input 13: graph.nir takes 12" in capsys.readouterr().err
    assert cli.main(["check", "graph.nir", "--nir-dt", "-1"]) == 1
    assert "a time step of -1 s" in capsys.readouterr().err
    assert cli.main(["check", "graph.spikec", "--nir-dt", "1"]) == 1
    assert "--nir-dt goes with a NIR graph" in capsys.readouterr().err
