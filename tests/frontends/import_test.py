# SPDX-License-Identifier: Apache-2.0
"""A network that cannot be compiled is refused with a sentence: where, what, and the fix."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import spikec
from spikec.errors import SpikecError
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.frontends.pytorch.module import check
from spikec.targets import host
from tests.networks import leaky

MAP = (2, 8, 8)


def small() -> Any:
    """A good network for a test to spoil; Any, as torch's indexing says too little."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), leaky(), nn.Flatten(), nn.Linear(108, 4), leaky(output=True)
    ).eval()


def refusal(net: Any, shape: tuple[int, ...] = MAP) -> str:
    """What ``spikec.compile`` says; it and ``check`` agree."""
    problems = [str(problem) for problem in check(net, shape)]
    assert problems
    with pytest.raises(SpikecError) as caught:
        spikec.compile(net, input_shape=shape)
    for problem in problems:
        assert problem in str(caught.value)
    return str(caught.value)


def says(text: str, *parts: str) -> None:
    for part in parts:
        assert part in text, f"{part!r} is not in {text!r}"


# Checkpoints.


def saved(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    state: dict[str, Any] = dict(small().state_dict())
    change(state)
    path = tmp_path / "net.pt"
    torch.save(state, path)
    return path


def load_refusal(path: Path) -> str:
    net = small()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(SpikecError) as caught:
        load_checkpoint(net, path)
    for name, tensor in net.state_dict().items():
        assert torch.equal(before[name], tensor), f"{name} was changed by a refused checkpoint"
    says(str(caught.value), str(path))
    return str(caught.value)


def test_a_good_checkpoint_loads_bare_and_in_a_training_dictionary(tmp_path: Path) -> None:
    other = small()
    nn.init.constant_(other[0].weight, 0.25)
    for content in (other.state_dict(), {"state_dict": other.state_dict(), "epoch": 3}):
        path = tmp_path / "net.pt"
        torch.save(content, path)
        net = small()
        load_checkpoint(net, path)
        assert torch.equal(net[0].weight, other[0].weight)


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    text = load_refusal(saved(tmp_path, lambda state: (state.pop("0.bias"), state.pop("3.weight"))))
    says(text, "missing: 0.bias, 3.weight", "use the function that built the network")


def test_extra_tensors_are_named(tmp_path: Path) -> None:
    text = load_refusal(saved(tmp_path, lambda state: state.update({"9.gamma": torch.ones(1)})))
    says(text, "not in the network: 9.gamma")


def test_a_wrongly_shaped_tensor_is_named_with_both_shapes(tmp_path: Path) -> None:
    text = load_refusal(saved(tmp_path, lambda s: s.update({"3.weight": torch.ones(5, 108)})))
    says(text, "3.weight is (5, 108) in the file and (4, 108) in the network")


def test_all_faults_of_a_checkpoint_are_listed_at_once(tmp_path: Path) -> None:
    def change(state: dict[str, Any]) -> None:
        del state["0.bias"]
        state["9.gamma"] = torch.ones(1)
        state["3.bias"] = torch.ones(7)

    says(load_refusal(saved(tmp_path, change)), "0.bias", "9.gamma", "3.bias is (7,)")


class Trap:
    """Unpickled by a careless loader, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused_without_running_it(
    tmp_path: Path, legacy: bool
) -> None:
    trap = tmp_path / "sprung"
    path = tmp_path / "net.pt"
    torch.save({"0.weight": Trap(trap)}, path, _use_new_zipfile_serialization=not legacy)
    text = load_refusal(path)
    assert not trap.exists()
    says(text, "holds more than tensors", "torch.save(net.state_dict(), path)")
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists(), "the trap would not have shown anything"


def test_a_whole_pickled_network_is_refused_with_the_way_to_save_it(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(nn.Sequential(nn.Linear(2, 2)), path)
    says(load_refusal(path), "holds more than tensors", "torch.save(net.state_dict(), path)")


@pytest.mark.parametrize("kept", [0, 1, 10, 100, 1000, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, kept: int) -> None:
    path = saved(tmp_path, lambda state: None)
    path.write_bytes(path.read_bytes()[:kept])
    says(load_refusal(path), "torch.save(net.state_dict(), path)")


def test_a_checkpoint_that_is_not_there_a_folder_and_a_list_are_refused(tmp_path: Path) -> None:
    says(load_refusal(tmp_path / "none.pt"), "there is no such file")
    folder = tmp_path / "folder.pt"
    folder.mkdir()
    says(load_refusal(folder), "cannot be read")
    path = tmp_path / "list.pt"
    torch.save([torch.ones(2)], path)
    says(load_refusal(path), "holds a list where a state_dict")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["0.weight", "3.bias", "1.beta", "4.threshold"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, where: str, bad: float) -> None:
    net = small()
    path = saved(tmp_path, lambda state: state[where].view(-1)[0].fill_(bad))
    load_checkpoint(net, path)
    layer, tensor = where.split(".")
    says(refusal(net), f"layer '{layer}'", f"its {tensor} holds", "NaN or inf")


# The network as a whole.


def test_a_network_in_train_mode_is_refused() -> None:
    says(refusal(small().train()), "is in train mode", "call net.eval()")


def test_one_layer_in_train_mode_is_refused() -> None:
    net = small()
    net[1].train()
    says(refusal(net), "is in train mode", "call net.eval()")


def test_a_double_precision_network_is_refused() -> None:
    says(refusal(small().double()), "layer '0' (Conv2d)", "is float64, not float32", "net.float()")


def test_a_half_precision_network_is_refused() -> None:
    says(refusal(small().half()), "layer '3' (Linear)", "is float16, not float32", "net.float()")


def test_something_that_is_no_network_is_refused() -> None:
    says(refusal({"0.weight": torch.ones(2)}), "is not a torch nn.Module")


def test_a_subclass_of_sequential_is_read_by_running_it() -> None:
    class Mine(nn.Sequential):
        def forward(self, x: torch.Tensor) -> Any:
            return self[1](self[0](x * 2))

    network = spikec.compile(Mine(nn.Linear(4, 2), leaky()).eval(), (4,)).network
    assert [type(layer).__name__ for layer in network.layers] == ["Cell", "Linear", "Leaky"]


def test_a_sequential_with_a_part_of_ones_own_is_read_by_running_it() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + x

    network = spikec.compile(nn.Sequential(nn.Linear(4, 2), Twice(), leaky()).eval(), (4,)).network
    assert [type(layer).__name__ for layer in network.layers] == ["Linear", "Cell", "Leaky"]


def test_a_network_without_spiking_layers_is_refused() -> None:
    says(refusal(nn.Sequential(nn.Linear(4, 2)).eval(), (4,)), "has no spiking layer", "Leaky")


def test_an_empty_network_is_refused() -> None:
    says(refusal(nn.Sequential().eval(), (4,)), "has no spiking layer")


def test_a_network_that_does_not_end_in_spikes_is_refused() -> None:
    net = nn.Sequential(nn.Linear(4, 3), leaky(), nn.Linear(3, 2)).eval()
    says(refusal(net, (4,)), "layer '2' (Linear)", "after the last spiking layer", "end it with")


@pytest.mark.parametrize("shape", [(), (2, 8, 8, 8), (2, 0, 8), (2, -8, 8), (2.0, 8, 8), (0, 8)])
def test_an_input_shape_that_is_none_is_refused(shape: tuple[int, ...]) -> None:
    says(refusal(small(), shape), str(shape), "none of (C, H, W), (C, L) and (N,)", "2,34,34")


# Layers that do not fit.


@pytest.mark.parametrize(
    ("net", "shape", "parts"),
    [
        (
            [nn.Conv2d(3, 4, 3), leaky()],
            MAP,
            ["layer '0' (Conv2d)", "wants 3 input channels and gets 2", "input 2x8x8"],
        ),
        (
            [nn.Conv2d(2, 4, 9), leaky()],
            MAP,
            ["layer '0' (Conv2d)", "(9, 9)", "larger than its input 2x8x8"],
        ),
        (
            [nn.Conv2d(2, 4, 3), leaky(), nn.Flatten(), nn.Linear(100, 2), leaky()],
            MAP,
            ["layer '3' (Linear)", "wants 100 inputs and gets 144"],
        ),
        (
            [nn.Linear(8, 3), leaky()],
            MAP,
            ["layer '0' (Linear)", "reads a map 2x8x8", "nn.Flatten()"],
        ),
        (
            [nn.Conv2d(2, 4, 3), leaky()],
            (128,),
            ["layer '0' (Conv2d)", "reads a flat input of 128", "(C, H, W)"],
        ),
        ([nn.MaxPool2d(9), leaky()], MAP, ["layer '0' (MaxPool2d)", "(9, 9)", "2x8x8"]),
        ([nn.AvgPool2d(2), leaky()], (16,), ["layer '0' (AvgPool2d)", "flat input of 16"]),
        ([nn.BatchNorm2d(3), leaky()], MAP, ["layer '0' (BatchNorm2d)", "wants 3 channels", "2"]),
        ([nn.BatchNorm1d(2), leaky()], MAP, ["layer '0' (BatchNorm1d)", "BatchNorm2d goes with"]),
        ([nn.Flatten(2), leaky()], MAP, ["layer '0' (Flatten)", "flattens axes 2 to -1"]),
        (
            [leaky(beta=torch.rand(5)), nn.Flatten(), leaky()],
            MAP,
            ["layer '0' (Leaky)", "its beta has shape (5,)", "2x8x8"],
        ),
        (
            [nn.Linear(4, 3), leaky(threshold=torch.rand(4))],
            (4,),
            ["layer '1' (Leaky)", "its threshold has shape (4,)", "neurons 3"],
        ),
        (
            [nn.MaxPool2d(2, stride=1, padding=1, dilation=3), leaky()],
            (1, 2, 2),
            ["layer '0' (MaxPool2d)", "window"],
        ),
    ],
)
def test_layers_that_do_not_fit_are_named(
    net: list[nn.Module], shape: tuple[int, ...], parts: list[str]
) -> None:
    says(refusal(nn.Sequential(*net).eval(), shape), *parts)


# Layers and options that are not supported.


@pytest.mark.parametrize(
    ("layer", "parts"),
    [
        (nn.GELU(), ["(GELU)", "is not supported", "supported are Conv1d, Conv2d"]),
        (
            nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
            ["(Conv2d)", "'reflect'", "'zeros'"],
        ),
        (nn.MaxPool2d(2, return_indices=True), ["(MaxPool2d)", "return_indices"]),
        (nn.BatchNorm2d(2, track_running_stats=False), ["(BatchNorm2d)", "no running statistics"]),
        (leaky(state_quant=lambda membrane: membrane), ["(Leaky)", "state_quant"]),
        (leaky(graded_spikes_factor=0.0), ["(Leaky)", "graded_spikes_factor is 0"]),
        (leaky(output=True), ["(Leaky)", "pair (spikes, membrane)", "output=False"]),
        (leaky(init_hidden=False), ["(Leaky)", "pair (spikes, membrane)", "init_hidden=True"]),
        (leaky(spike_grad=torch.sigmoid), ["(Leaky)", "spike_grad"]),
        (
            snntorch.AssociativeLeaky(in_dim=8, d_value=2, d_key=2, num_spiking_neurons=4),
            ["(AssociativeLeaky)", "use LeakyParallel"],
        ),
        (
            snntorch.Synaptic(alpha=0.9, beta=0.8, init_hidden=True, output=True),
            ["(Synaptic)", "pair (spikes, membrane)", "output=False"],
        ),
        (
            snntorch.DeltaLeaky(beta=0.8, init_hidden=True),
            ["(DeltaLeaky)", "pair (spikes, membrane)", "forward of its own"],
        ),
        (
            snntorch.StateLeaky(beta=0.8, channels=8),
            ["(StateLeaky)", "pair (spikes, membrane)", "forward of its own"],
        ),
    ],
)
def test_what_is_not_supported_is_named_with_layer_and_fix(
    layer: nn.Module, parts: list[str]
) -> None:
    net = nn.Sequential(nn.Identity(), layer, leaky()).eval()
    says(refusal(net), "layer '1'", *parts)


def test_neurons_for_steps_and_for_sequences_in_one_sequential_are_refused() -> None:
    net = nn.Sequential(snntorch.LeakyParallel(4, 3), nn.Linear(3, 2), leaky()).eval()
    says(refusal(net, (4,)), "layer '2' (Leaky)", "all time steps at once", "forward of its own")


def test_everything_unsupported_is_listed_at_once() -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding_mode="circular", padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2, return_indices=True),
        nn.Sequential(nn.GELU(), leaky(state_quant=lambda x: x)),
        snntorch.Synaptic(alpha=0.9, beta=0.8),
        leaky(output=True),
    ).train()
    net[5].mem = torch.zeros(1)
    problems = check(net, MAP)
    found = {problem.layer: problem.kind for problem in problems}
    assert found == {
        "": "Sequential",  # in train mode
        "0": "Conv2d",
        "1": "Tanh",
        "2": "MaxPool2d",
        "3.0": "GELU",
        "3.1": "Leaky",
        "4": "Synaptic",
    }
    assert all(problem.fix and problem.found for problem in problems)


def test_a_subclass_of_a_supported_layer_is_refused() -> None:
    class Half(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) / 2

    text = refusal(nn.Sequential(Half(4, 3), leaky()).eval(), (4,))
    says(text, "layer '0' (Half)", "is a subclass of Linear", "use Linear itself")


def test_a_layer_with_its_forward_replaced_is_refused() -> None:
    net = nn.Sequential(nn.Linear(4, 3), leaky()).eval()
    net[0].forward = lambda x: x[:, :3]
    says(refusal(net, (4,)), "layer '0' (Linear)", "forward")


def test_forward_hooks_are_refused() -> None:
    net = small()
    handle = net[0].register_forward_hook(lambda module, given, result: result * 2)
    says(refusal(net), "layer '0' (Conv2d)", "forward hooks", "remove them")
    handle.remove()
    spikec.compile(net, input_shape=MAP)
    net[3].register_forward_pre_hook(lambda module, given: None)
    says(refusal(net), "layer '3' (Linear)", "forward hooks")


@pytest.mark.parametrize("inner", [False, True])
def test_forward_hooks_of_a_sequential_are_refused(inner: bool) -> None:
    part = nn.Sequential(nn.Linear(4, 3), leaky())
    net = nn.Sequential(part).eval()
    (part if inner else net).register_forward_hook(lambda module, given, result: 0 * result)
    says(refusal(net, (4,)), "(Sequential)", "forward hooks", "remove them")


def test_torch_parametrizations_and_pruning_masks_are_refused() -> None:
    net = small()
    parametrizations.weight_norm(net[3])
    says(refusal(net), "layer '3'", "subclass of Linear", "parametrizations")
    net = small()
    prune.l1_unstructured(net[0], "weight", 0.5)  # type: ignore[no-untyped-call]
    says(refusal(net), "layer '0' (Conv2d)", "forward hooks", "prune.remove")


def test_one_leaky_in_two_places_is_refused() -> None:
    shared = leaky()
    net = nn.Sequential(nn.Linear(4, 4), shared, nn.Linear(4, 4), shared).eval()
    says(refusal(net, (4,)), "layer '3' (Leaky)", "stands twice", "one Leaky for each place")


def test_one_linear_in_two_places_is_compiled() -> None:
    shared = nn.Linear(4, 4)
    net = nn.Sequential(shared, leaky(), shared, leaky()).eval()
    assert len(spikec.compile(net, input_shape=(4,)).network.layers) == 4


# A Leaky that disagrees with itself.


def test_a_reset_mechanism_that_was_assigned_and_does_not_run_is_refused() -> None:
    net = small()
    net[1].reset_mechanism = "zero"
    text = refusal(net)
    says(text, "layer '1' (Leaky)", "says 'zero' but the function that runs is 'subtract'")
    says(text, "reset_mechanism='zero'")


def test_a_reset_mechanism_that_a_checkpoint_changed_is_refused(tmp_path: Path) -> None:
    net = small()
    path = saved(tmp_path, lambda s: s.update({"4.reset_mechanism_val": torch.tensor(2)}))
    load_checkpoint(net, path)
    text = refusal(net)
    says(text, "layer '4' (Leaky)", "says 'none' but the function that runs is 'subtract'")


def test_a_state_function_of_ones_own_is_refused() -> None:
    net = small()
    net[1].state_function = lambda x: x
    says(refusal(net), "layer '1' (Leaky)", "state_function is not one of snnTorch's own")
    net = small()
    net[1].state_function = net[4].state_function
    says(refusal(net), "layer '1' (Leaky)", "another layer's")


# What is given to a compiled network, and where it goes.


@pytest.mark.parametrize(
    "name", ["", "2d", "my-net", "a b", "café", "int", "main", "spk_net", "../x", "x\n", "string"]
)
def test_a_name_that_c_cannot_use_is_refused(name: str) -> None:
    with pytest.raises(SpikecError) as caught:
        spikec.compile(small(), input_shape=MAP, name=name)
    says(str(caught.value), repr(name))


def test_numbers_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(SpikecError, match=r"numbers='f64' is not supported; use 'f32' or 'int8'"):
        spikec.compile(small(), input_shape=MAP, numbers="f64")  # type: ignore[arg-type]


def test_an_output_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    model = spikec.compile(small(), input_shape=MAP)
    file = tmp_path / "file"
    file.write_text("kept")
    for out in (file, file / "deeper"):
        with pytest.raises(SpikecError) as caught:
            model.write(out)
        says(str(caught.value), str(out), "cannot be written", "choose another output folder")
    assert file.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_in_the_way_of_a_file_leaves_nothing_half_written(tmp_path: Path) -> None:
    model = spikec.compile(small(), input_shape=MAP, name="net")
    names = list(model.files())
    (tmp_path / names[-1]).mkdir()
    with pytest.raises(SpikecError) as caught:
        model.write(tmp_path)
    says(str(caught.value), str(tmp_path), "cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == [names[-1]]


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = spikec.compile(small(), input_shape=MAP, name="net")
    (tmp_path / "net.h").write_text("kept")
    made: list[Any] = []
    mkstemp = tempfile.mkstemp

    def full(**options: Any) -> Any:
        if len(made) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        made.append(mkstemp(**options))
        return made[-1]

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(SpikecError, match=r"cannot be written \(No space left on device\)"):
        model.write(tmp_path)
    assert len(made) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["net.h"]
    assert (tmp_path / "net.h").read_text() == "kept"


def test_a_machine_without_a_c_compiler_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = spikec.compile(small(), input_shape=MAP)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpikecError, match=r"no C compiler on the PATH.*install one, or set CC"):
        model.build()
    monkeypatch.setenv("CC", "no-such-compiler -m32")
    with pytest.raises(SpikecError, match="CC names 'no-such-compiler -m32'"):
        model.build()


def test_a_c_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = spikec.compile(small(), input_shape=MAP)
    with pytest.raises(SpikecError, match=r"the C compiler failed[\s\S]*no-such-flag"):
        model.build(("--no-such-flag",))


def test_frames_that_do_not_fit_are_refused() -> None:
    host = spikec.compile(small(), input_shape=MAP).build(("-O0",))
    good = np.zeros((3, *MAP), np.float32)
    assert host.run(good).shape == (3, 4)
    for bad in (good[0], good[:, :1], good[None], np.zeros((3, 128))):
        with pytest.raises(SpikecError) as caught:
            host.run(bad)
        says(str(caught.value), str(bad.shape), "[T, 2, 8, 8]")
    for value in (np.nan, np.inf, -np.inf):
        bad = good.copy()
        bad[1, 0, 2, 3] = value
        for call in (host.run, host.trace, host.membranes):
            with pytest.raises(SpikecError, match="NaN"):
                call(bad)
    with pytest.raises(SpikecError, match="beyond float32"):
        host.run(np.full((3, *MAP), 1e300))
    with pytest.raises(SpikecError, match="numbers"):
        host.run(np.full((3, *MAP), "1"))


def test_no_frames_give_no_spikes() -> None:
    host = spikec.compile(small(), input_shape=MAP).build(("-O0",))
    assert host.run(np.zeros((0, *MAP))).shape == (0, 4)
    assert host.trace(np.zeros((0, *MAP)))["1"].shape == (0, 3, 6, 6)


# What only torch, or only float32, refuses.


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(2, 3, 3, padding=-1), "torch itself cannot run it"),
        (nn.MaxPool2d(2, stride=(0, 1)), "cannot be read"),
        (nn.Conv2d(2, 0, 3), "is none of|cannot"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(layer: nn.Module, reason: str) -> None:
    net = nn.Sequential(layer, leaky(output=True)).eval()
    text = refusal(net)
    assert "'0'" in text
    assert any(part in text for part in reason.split("|")), text


def test_a_weight_that_is_not_the_options_own_is_refused() -> None:
    net = small()
    net[0].weight = nn.Parameter(torch.ones(3, 2, 5, 5))
    says(refusal(net), "'0' (Conv2d)")


def test_a_batch_norm_beyond_float32_is_refused_and_one_whose_fold_is_is_not_folded() -> None:
    norm: Any = nn.BatchNorm2d(3)
    net: Any = nn.Sequential(nn.Conv2d(2, 3, 3), norm, leaky(output=True)).eval()
    with torch.no_grad():
        norm.running_var.fill_(1e-30)
        norm.eps = 0.0
        norm.weight.fill_(1e30)
    says(refusal(net), "'1' (BatchNorm2d)", "not finite")
    with torch.no_grad():
        norm.running_var.fill_(1.0)
        net[0].weight.fill_(1e30)
        norm.weight.fill_(1e30)
    kinds = [type(layer).__name__ for layer in spikec.compile(net, MAP).network.layers]
    assert kinds == ["Conv2d", "Affine", "Leaky"]


def test_an_input_too_large_for_any_machine_is_refused() -> None:
    says(refusal(small(), (2, 60_000, 60_000)), "too large", "use a smaller")
    says(refusal(small(), (2, 70_000, 8)), "at most 65,535 rows")


@pytest.mark.parametrize("shape", [5.0, None])
def test_an_input_shape_that_is_no_tuple_is_refused(shape: Any) -> None:
    with pytest.raises(SpikecError, match="none of"):
        spikec.compile(small(), input_shape=shape)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.update({"0.weight": state["0.weight"].to_sparse()}), "sparse float32"),
        (
            lambda state: state.update({"0.weight": state["0.weight"].to(torch.complex64)}),
            "complex64",
        ),
        (lambda state: state.update({"0.weight": state["0.weight"].half()}), "float16"),
        (lambda state: state.update({7: torch.ones(1)}), "a state_dict (names to tensors)"),
    ],
)
def test_a_checkpoint_of_other_types_is_refused(
    tmp_path: Path, change: Callable[[dict[Any, Any]], object], reason: str
) -> None:
    says(load_refusal(saved(tmp_path, change)), reason)


def test_a_network_that_was_trained_a_moment_ago_compiles() -> None:
    """Its layers hold membranes with gradients, which torch cannot copy."""
    net = small().train()
    spikes, _ = net(torch.rand(1, *MAP) * 4)
    spikes.sum().backward()
    assert spikec.compile(net.eval(), MAP).report().table_bytes > 0


def test_a_library_of_another_network_is_refused(tmp_path: Path) -> None:
    other = nn.Sequential(nn.Flatten(), nn.Linear(128, 4), leaky(output=True)).eval()
    written = tmp_path / "other"
    spikec.compile(other, MAP, name="net").write(written)
    library = tmp_path / "net.so"
    command = [*host.compiler(), "-shared", "-fPIC", "-ffp-contract=off", "-o", str(library)]
    sources = map(str, written.glob("*.c"))
    subprocess.run([*command, *sources], check=True)
    assert spikec.compile(other, MAP, name="net").load(library).run(np.zeros((2, *MAP))).shape == (
        2,
        4,
    )
    with pytest.raises(SpikecError, match="built from another network"):
        spikec.compile(small(), MAP, name="net").load(library)
    with pytest.raises(SpikecError, match="no shared library"):
        spikec.compile(small(), MAP, name="net").load(tmp_path / "missing.so")


@pytest.mark.parametrize("named", ["'", " ", "nonsense-compiler"])
def test_a_compiler_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("CC", named)
    with pytest.raises(SpikecError, match="CC names"):
        spikec.compile(small(), MAP).build()


@pytest.mark.parametrize("frames", [[[1], [1, 2]], torch.zeros(1, *MAP, requires_grad=True)])
def test_frames_that_are_no_array_are_refused(frames: Any) -> None:
    with pytest.raises(SpikecError, match="frames are"):
        spikec.compile(small(), MAP).build().run(frames)
