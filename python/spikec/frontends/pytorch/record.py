# SPDX-License-Identifier: Apache-2.0
"""Records what a forward does: the layers, neurons and functions of torch that it calls.

Imports torch.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np
import snntorch
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from spikec.frontends.pytorch.layers import IDENTITIES
from spikec.frontends.pytorch.values import (
    LIBRARIES,
    SEQUENCE,
    Call,
    Constant,
    TooShortError,
    UntraceableError,
    Value,
    ValueKind,
    iterate_states,
    state_names,
    tensors_in,
)

_ZEROS = {"zeros", "zeros_like", "new_zeros"}
_FILLED = {
    "ones_like",
    "full_like",
    "empty_like",
    "new_ones",
    "new_full",
    "new_empty",
    "new_tensor",
}
_SAME = {
    "contiguous", "detach", "detach_", "clone", "float", "to", "cpu", "type_as", "requires_grad_",
    "alias", "data", "type",
}  # fmt: skip
_DROPOUTS = {"dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_dropout"}
_RESHAPES = {
    "view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as",
    "ravel",
}  # fmt: skip
_MOVES = {
    "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT", "H",
}  # fmt: skip
_SHAPES = {
    "size", "dim", "numel", "__len__", "is_floating_point", "get_device", "element_size",
    "ndimension", "nelement", "stride", "is_contiguous", "__hash__", "__repr__", "__format__",
    "__str__", "is_complex", "storage_offset", "is_signed",
}  # fmt: skip
_DATA = {
    "__bool__", "item", "tolist", "__float__", "__int__", "__index__", "__complex__", "numpy",
    "__array__", "__contains__", "equal", "allclose", "is_nonzero", "nonzero",
}  # fmt: skip
_IN_PLACE = re.compile(
    r"[a-z]\w*[^_]_|__(setitem|i(add|sub|mul|div|truediv|floordiv|pow|mod|and|or|xor))__"
)
_ARITHMETIC = {
    "add": "add", "__add__": "add",
    "sub": "sub", "subtract": "sub", "__sub__": "sub",
    "mul": "mul", "multiply": "mul", "__mul__": "mul",
    "div": "div", "divide": "div", "true_divide": "div", "__truediv__": "div",
    "neg": "neg", "negative": "neg", "__neg__": "neg",
    "abs": "abs", "absolute": "abs", "__abs__": "abs",
}  # fmt: skip
_REVERSED = {"__rsub__": "sub", "rsub": "sub", "__radd__": "add", "__rmul__": "mul"}
_ARITHMETIC_IN_PLACE = {
    "__iadd__": "add", "add_": "add", "__isub__": "sub", "sub_": "sub", "__imul__": "mul",
    "mul_": "mul", "__idiv__": "div", "__itruediv__": "div", "div_": "div",
}  # fmt: skip
_CLAMPS = {
    "clamp": ("min", "max"), "clip": ("min", "max"), "clamp_min": ("min",), "clamp_max": ("max",),
}  # fmt: skip
_DECISIONS = {
    "softmax", "log_softmax", "sigmoid", "argmax", "max", "amax", "topk", "logsumexp", "sum",
    "mean", "mse_loss", "cross_entropy", "nll_loss",
}  # fmt: skip
_DECIDE_AFTERWARDS = (
    " (what is made of outputs, such as classes and sums over groups, can be made of the host's: "
    "return the spikes, or the neurons' membranes, of every step)"
)


def _max_pool(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    def build(
        _: object, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> nn.Module:  # fmt: skip
        return kind(kernel_size, stride or None, padding, dilation, return_indices, ceil_mode)

    return build


def _avg_pool(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    def build(
        _: object, kernel_size: Any, stride: Any = None, *rest: Any, **more: Any
    ) -> nn.Module:
        return kind(kernel_size, stride or None, *rest, **more)

    return build


_FUNCTIONS: dict[str, Callable[..., nn.Module]] = {
    "max_pool1d": _max_pool(nn.MaxPool1d),
    "max_pool2d": _max_pool(nn.MaxPool2d),
    "avg_pool1d": _avg_pool(nn.AvgPool1d),
    "avg_pool2d": _avg_pool(nn.AvgPool2d),
    "adaptive_avg_pool1d": lambda _, output_size: nn.AdaptiveAvgPool1d(output_size),
    "adaptive_avg_pool2d": lambda _, output_size: nn.AdaptiveAvgPool2d(output_size),
    "adaptive_max_pool1d": lambda _, output_size, **more: nn.AdaptiveMaxPool1d(output_size, **more),
    "adaptive_max_pool2d": lambda _, output_size, **more: nn.AdaptiveMaxPool2d(output_size, **more),
    "relu": lambda _, inplace=False: nn.ReLU(),
}
"""The module that computes the same as a function."""

FUNCTIONS = (
    "flatten, view, reshape, +, -, *, / by a constant, @ a constant, clamp, torch.cat, torch.stack "
    "over time, F.linear, " + ", ".join(f"F.{name}" for name in _FUNCTIONS)
)
"""What a forward may do to values, as an error message lists it."""


class Recorder(TorchFunctionMode):
    """Sees every function of torch that a forward calls, and records those on known values."""

    def __init__(self, net: nn.Module, steps: int) -> None:
        super().__init__()
        self.net = net
        self.steps = steps
        self.paused = False
        self.values: dict[int, Value] = {}
        self.alive: list[torch.Tensor] = []  # so that an id stays one tensor's
        self.count = 0
        self.calls: dict[str, list[Call]] = {}
        self.given: dict[str, tuple[Call, str]] = {}  # to which state an argument was given
        self.filled: dict[int, dict[int, Value]] = {}  # rows of zeros that were overwritten
        self.trained = {
            name: [(key, x.clone()) for key, x in _trained(module)]
            for name, module in net.named_modules()
        }

    # Values.

    def known(self, tensor: object) -> Value | None:
        """What is recorded of a tensor, if anything is."""
        return self.values.get(id(tensor))

    def know(self, tensor: torch.Tensor, value: Value) -> torch.Tensor:
        """Records what a tensor is, and returns it."""
        self.values[id(tensor)] = value
        self.alive.append(tensor)
        return tensor

    def make(
        self,
        kind: ValueKind,
        inputs: Iterable[Value],
        lead: str,
        shape: Sequence[int],
        **fields: Any,
    ) -> Value:
        """A new value, made at the line of the user's code that is running."""
        self.count += 1
        axes = tuple(shape[len(lead) :])
        return Value(kind, tuple(inputs), lead, axes, _where(), **fields)

    def zero(self, tensor: torch.Tensor, placeholder: str = "") -> torch.Tensor:
        """Records a tensor of zeros; ``placeholder`` is the argument for which it stands in."""
        lead = "B" if tensor.ndim > 1 and tensor.shape[0] == 1 else ""
        value = self.make("zero", (), lead, tensor.shape, placeholder=placeholder)
        return self.know(tensor, value)

    def opaque(self, result: Any, reason: str) -> Any:
        """Whatever ``result`` holds cannot be compiled; only its use is a mistake."""
        for tensor in tensors_in(result):
            if self.known(tensor) is None:
                self.know(tensor, self.make("opaque", (), "", tensor.shape, option=reason))
        return result

    # Functions of torch.

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Runs a function of torch on tensors that are recorded, and records it."""
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        name = _name(func)
        if getattr(func, "__name__", "") == "__get__":  # a property
            held = func(*args, **kwargs)
            if not isinstance(held, torch.Tensor):
                return held
        known = [value for t in tensors_in((args, kwargs)) if (value := self.known(t)) is not None]
        if name in _ZEROS:
            result = func(*args, **kwargs)
            return self.zero(result) if isinstance(result, torch.Tensor) else result
        constant = all(value.kind == "zero" for value in known)
        if not known or name in _SHAPES or (name in _FILLED and len(known) == 1):
            return func(*args, **kwargs)
        if name in ("__eq__", "eq", "__ne__", "ne") and (args[0] is None or args[1] is None):
            return func(*args, **kwargs)
        replaced = name == "data" and getattr(func, "__name__", "") == "__set__"
        changed = name not in _SAME and _IN_PLACE.fullmatch(name)
        if replaced or changed or kwargs.get("out") is not None:
            if name in _ARITHMETIC_IN_PLACE and self._alone(args[0]):
                before = self.known(args[0])
                result = self._arithmetic(name, func, args, kwargs)
                if self.known(args[0]) is not before:
                    return result
            if name == "__setitem__" and self._fill(*args):
                return func(*args, **kwargs)
            if constant:  # a constant of the user's, such as a mask
                for tensor in tensors_in((args, kwargs)):
                    self.values.pop(id(tensor), None)
                return func(*args, **kwargs)
            raise UntraceableError(
                f"its forward changes a tensor in place ({name.strip('_')} at {_where()})",
                "make a new one, such as x = x + y; collect the steps in a list and give it to "
                "torch.stack",
            )
        if name in _DATA and not constant:
            raise _depends(name)
        opaque = [value for value in known if value.kind == "opaque"]
        if opaque:
            return self.opaque(func(*args, **kwargs), str(opaque[0].option))
        return self._record(name, func, args, kwargs, constant)

    def _record(
        self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], constant: bool
    ) -> Any:
        """What a function of torch gives, with the value that it is recorded as."""
        first = self.known(args[0]) if args else None
        if name == "linear" or (name in ("matmul", "mm", "__matmul__") and first is not None):
            linear = self._linear(name, args, kwargs)
            if linear is not None:
                return linear
        if name in _CLAMPS and first is not None:
            return self._clamp(name, func, args, kwargs, first)
        if name in _ARITHMETIC or name in _REVERSED:
            return self._arithmetic(name, func, args, kwargs)
        if name in _DROPOUTS and not kwargs.get("training", args[2] if len(args) > 2 else True):
            name = "alias"
        if name in _FUNCTIONS and first is not None:
            return self._function(name, args, kwargs, first)
        if name == "stack":
            return self._stack(func, args, kwargs)
        if name in ("cat", "concat", "concatenate"):
            return self._concat(func, args, kwargs)
        if first is not None and name in ("__getitem__", "select"):
            index = args[1] if name == "__getitem__" else None
            if name == "select":
                index = (*(slice(None),) * args[1], args[2])
            return self._index(func, args, kwargs, first, index)
        if first is not None and name in ("__iter__", "unbind"):
            return self._steps(name, args, kwargs, first)
        result = func(*args, **kwargs)
        if isinstance(result, torch.Tensor) and first is not None:
            if name in _SAME and result.dtype == torch.float32 and result.shape == args[0].shape:
                return self.know(result, first)
            if name in _RESHAPES:
                return self._reshaped(name, result, first)
            if name in _MOVES:
                return self._moved(name, args, kwargs, result, first)
            if name in ("sum", "mean") and self._over_time(args, kwargs, result, first):
                return self.know(result, self.make("over time", (first,), "", result.shape))
        if not list(tensors_in(result)) and not constant and not _is_nothing(result):
            raise _depends(name)
        if constant:
            return result
        more = ", which drops at random unless training=self.training" if name in _DROPOUTS else ""
        more = _DECIDE_AFTERWARDS if name in _DECISIONS else more
        return self.opaque(result, f"{name} at {_where()}{more}")

    def _alone(self, tensor: object) -> bool:
        """Whether nothing else that is recorded would change with a recorded tensor."""
        if not isinstance(tensor, torch.Tensor) or self.known(tensor) is None:
            return False
        place = tensor.untyped_storage().data_ptr()
        return not any(
            other is not tensor and other.untyped_storage().data_ptr() == place
            for other in self.alive
        )

    def _fill(self, record: torch.Tensor, index: Any, row: object) -> bool:
        """Takes zeros whose rows are overwritten one by one for a stack of what they become."""
        value, given = self.known(record), self.known(row)
        keys = list(index) if isinstance(index, tuple) else [index]
        while keys and (keys[-1] is Ellipsis or keys[-1] == slice(None)):
            keys.pop()
        time = len(keys) - 1
        if value is None or given is None or time not in (0, 1):
            return False
        assert isinstance(row, torch.Tensor)
        step = keys[time]
        axes = (*record.shape[:time], *record.shape[time + 1 :])
        if not isinstance(step, int) or keys[:time] != [slice(None)] * time or row.shape != axes:
            return False
        rows = self.filled.get(id(record), {})
        lead = {(0, "B"): "TB", (0, ""): "T", (1, "B"): "BT"}.get((time, given.lead))
        if lead is None or not self._alone(record) or (value.kind != "zero" and not rows):
            return False
        rows[step % record.shape[time]] = given
        self.filled[id(record)] = rows
        if len(rows) < record.shape[time]:
            reason = f"a tensor of which only some rows are written (at {_where()})"
            self.values[id(record)] = self.make("opaque", (), "", record.shape, option=reason)
        else:
            parts = [rows[i] for i in range(len(rows))]
            self.values[id(record)] = self.make("stack", parts, lead, record.shape)
        return True

    def _linear(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> torch.Tensor | None:
        """``F.linear`` or a product with a matrix of constants, as the layer that does the same."""
        given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        values, weight = given.get("input"), given.get("weight")
        bias = given.get("bias")
        if not isinstance(values, torch.Tensor) or not isinstance(weight, torch.Tensor):
            return None
        constants = [each for each in (weight, bias) if each is not None]
        if weight.ndim != 2 or any(self.known(each) is not None for each in constants):
            return None
        matrix = weight if name == "linear" else weight.t()
        if values.shape[-1:] != matrix.shape[1:] and values.numel():
            return None  # torch has a sentence for that
        sizes = (matrix.shape[1], matrix.shape[0], bias is not None)
        module = nn.Linear(*sizes, device="meta").eval()  # draws no random numbers
        module.weight = nn.Parameter(matrix.detach().clone())
        if bias is not None:
            module.bias = nn.Parameter(bias.detach().clone())
        key = "".join(_digest(each) for each in constants)
        return cast(torch.Tensor, self.layer(name, module, values, module, key))

    def _arithmetic(
        self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Records an operation of tensors and numbers, value by value."""
        op = _ARITHMETIC.get(name) or _REVERSED.get(name) or _ARITHMETIC_IN_PLACE[name]
        given = list(args)
        if kwargs.keys() == {"other"}:
            given, kwargs = [*given, kwargs["other"]], {}
        sized = [tensor for tensor in tensors_in(given) if tensor.numel()]
        for i, tensor in enumerate(given):  # a state that was not given takes the shape it needs
            value = self.known(tensor)
            if value is not None and value.placeholder and not tensor.numel() and sized:
                given[i] = self._sized(value, torch.zeros_like(sized[0]))
        result = func(*given, **kwargs)
        if name in _REVERSED:
            given.reverse()
        inputs: list[Value] = []
        operands: list[int | Constant] = []
        lead = ""
        reason = f"{op} at {_where()}"
        for tensor in given:
            value = self.known(tensor)
            if value is None:
                operand = _operand(tensor)
                if operand is None:
                    return self.opaque(result, reason)
                operands.append(operand)
                continue
            if value.kind == "over time":
                other = [each for each in given if each is not tensor]
                if all(self.known(each) is None for each in other):
                    return self.know(result, value)
                return self.opaque(result, f"{reason}, of sums over time,")
            lead = max(lead, value.lead, key=len)
            operands.append(len(inputs))
            inputs.append(value)
        axes = tuple(result.shape[len(lead) :])
        constants = [each.values.shape for each in operands if isinstance(each, Constant)]
        wide = any(max(each[: -len(axes) or None], default=1) > 1 for each in constants)
        if wide or any(value.axes != axes for value in inputs):
            return self.opaque(result, f"{reason}, of tensors of different shapes,")
        divided = op == "div" and not isinstance(operands[-1], Constant)
        mixed = any("T" in value.lead and value.lead != lead for value in inputs)
        if kwargs or divided or mixed or result.dtype != torch.float32:
            return self.opaque(result, reason)
        option = (op, tuple(x.key if isinstance(x, Constant) else x for x in operands))
        return self.know(
            result,
            self.make(
                "elementwise", inputs, lead, result.shape,
                option=option, name=op, operands=tuple(operands),
            ),
        )  # fmt: skip

    def _clamp(
        self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], value: Value
    ) -> torch.Tensor:
        result = cast(torch.Tensor, func(*args, **kwargs))
        bounds = dict(zip(_CLAMPS[name], args[1:], strict=False)) | kwargs
        for side, op in (("min", "maximum"), ("max", "minimum")):
            bound = bounds.get(side)
            if bound is None:
                continue
            if not isinstance(bound, int | float):
                return cast(torch.Tensor, self.opaque(result, f"{name} at {_where()}"))
            constant = Constant(np.full((1,), bound, np.float32))
            value = self.make(
                "elementwise", (value,), value.lead, result.shape,
                option=(op, 0, constant.key), name=op, operands=(0, constant),
            )  # fmt: skip
        return self.know(result, value)

    def _sized(self, value: Value, zeros: torch.Tensor) -> torch.Tensor:
        """A tensor of zeros in place of a state that was not given."""
        return self.zero(zeros, value.placeholder)

    def _function(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], value: Value
    ) -> torch.Tensor:
        if kwargs.pop("inplace", False):
            raise UntraceableError(
                f"its forward changes a tensor in place ({name} at {_where()})",
                "leave inplace=True out",
            )
        module = _FUNCTIONS[name](*args, **{k: v for k, v in kwargs.items() if k != "input"})
        return cast(torch.Tensor, self.layer(name, module, args[0], module))

    def _stack(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        tensors = list(args[0] if args else kwargs["tensors"])
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        result = cast(torch.Tensor, func(*args, **kwargs))
        inputs = [self.known(tensor) for tensor in tensors]
        parts = [value for value in inputs if value is not None]
        lead = max((value.lead for value in parts), key=len)
        new = {(0, "B"): "TB", (0, ""): "T", (1, "B"): "BT"}.get((dim % result.ndim, lead))
        if len(parts) < len(inputs) or new is None:
            return cast(torch.Tensor, self.opaque(result, f"stack at {_where()}"))
        return self.know(result, self.make("stack", parts, new, result.shape))

    def _concat(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        tensors = list(args[0] if args else kwargs["tensors"])
        dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
        result = cast(torch.Tensor, func(*args, **kwargs))
        inputs = [self.known(tensor) for tensor in tensors]
        parts = [value for value in inputs if value is not None]
        lead = parts[0].lead
        same = all(value.lead == lead for value in parts) and len(parts) == len(inputs)
        if not same or dim % result.ndim != len(lead):
            return cast(torch.Tensor, self.opaque(result, f"cat over axis {dim} at {_where()}"))
        return self.know(result, self.make("concat", parts, lead, result.shape, name="cat"))

    def _index(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], value: Value, index: Any
    ) -> Any:
        """Records what is taken out of a tensor by an index."""
        keys = list(index) if isinstance(index, tuple) else [index]
        while keys and (keys[-1] is Ellipsis or keys[-1] == slice(None)):
            keys.pop()
        whole = [i for i, key in enumerate(keys) if key != slice(None)]
        time = value.lead.find("T")
        both = len(value.lead) == 2 and whole == [0, 1]  # the one frame of a batch, too
        if (whole == [time] or both) and all(isinstance(keys[i], int) for i in whole):
            step = keys[time]
            if step >= self.length(value):
                raise TooShortError(
                    f"its forward reads time step {step + 1} of {self.length(value)} (at "
                    f"{_where()})",
                    "read no more steps than x.size(0)",
                )
            result = func(*args, **kwargs)
            one = self.one(value, step % self.length(value), result, "" if both else None)
            return self.know(result, one)
        if (
            "T" not in value.lead
            and value.lead
            and whole
            and whole[0] == 0
            and value.kind != "zero"
        ):
            raise UntraceableError(
                f"its forward takes one part of the batch ([{keys[0]}] at {_where()})",
                "give it frames of batch 1 as snnTorch takes them, time first: x[step] of "
                "[T, B, ...]",
                misread=True,
            )
        if time == 0 and len(whole) == 1 and whole[0] == 1 and value.lead == "TB":
            raise UntraceableError(
                f"its forward takes one part of the batch (at {_where()})", "", misread=True
            )
        result = func(*args, **kwargs)
        return result if value.kind == "zero" else self.opaque(result, f"indexing at {_where()}")

    def _steps(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], value: Value) -> Any:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        if value.kind == "zero":
            return args[0].unbind(dim) if name == "unbind" else iter(args[0].unbind(0))
        time = value.lead.find("T")
        if dim % args[0].ndim != time:
            raise UntraceableError(
                f"its forward goes over the parts of a batch ({name} at {_where()})",
                "give it frames of batch 1 as snnTorch takes them, time first",
                misread=True,
            )
        parts = [
            self.know(part, self.one(value, step, part))
            for step, part in enumerate(args[0].unbind(dim))
        ]
        return tuple(parts) if name == "unbind" else iter(parts)

    def length(self, value: Value) -> int:
        """How many time steps a value has."""
        return len(value.inputs) if value.kind == "stack" else self.steps

    def one(self, value: Value, step: int, result: torch.Tensor, lead: str | None = None) -> Value:
        """One time step of a value."""
        lead = value.lead.replace("T", "") if lead is None else lead
        return self.make("step", (value,), lead, result.shape, option=step)

    def _reshaped(self, name: str, result: torch.Tensor, value: Value) -> torch.Tensor:
        """A view of the same values in the same order: what are its axes?"""
        shape = tuple(result.shape)
        if value.kind == "zero":
            return self.zero(result, value.placeholder)
        lead = _lead(value, shape, self.length(value) if "T" in value.lead else None)
        if lead is None:
            return cast(torch.Tensor, self.opaque(result, f"{name} at {_where()}"))
        if shape[len(lead) :] == value.axes and lead == value.lead:
            return self.know(result, value)
        return self.know(result, self.make("reshape", (value,), lead, shape, name=name))

    def _moved(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: torch.Tensor,
        value: Value,
    ) -> torch.Tensor:  # fmt: skip
        """Axes that change places: of time and batch, or of size 1."""
        probe = torch.empty([2 + i for i in range(args[0].ndim)], device="meta")
        call = getattr(probe, name)
        moved = call if isinstance(call, torch.Tensor) else call(*args[1:], **kwargs)
        order = [size - 2 for size in moved.shape]
        labelled = [value.lead[i] if i < len(value.lead) else str(i) for i in order]
        lead = "".join(labelled[: len(value.lead)])
        rest = [i for i in order if i >= len(value.lead)]
        if sorted(lead) == sorted(value.lead) and rest == sorted(rest):
            if lead == value.lead:
                return self.know(result, value)
            return self.know(result, self.make("reshape", (value,), lead, result.shape, name=name))
        return cast(torch.Tensor, self.opaque(result, f"{name} at {_where()}"))

    def _over_time(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], result: torch.Tensor, value: Value
    ) -> bool:
        dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
        dims = list(dim) if isinstance(dim, tuple | list) else [dim]
        time = value.lead.find("T")
        return len(dims) == 1 and isinstance(dims[0], int) and dims[0] % args[0].ndim == time

    # Layers and neurons.

    def _unchanged(self, name: str, module: nn.Module) -> None:
        """Refuses a forward that changes what was trained."""
        now = dict(_trained(module))
        for key, values in self.trained.get(name, []):
            with torch._C.DisableTorchFunction():
                same = key in now and torch.equal(now[key], values) and not self.known(now[key])
            if not same:
                raise UntraceableError(
                    f"its {key} is changed while the network runs (before {_where()})",
                    "do that before, and keep it as it is in the forward", name,
                    type(module).__name__,
                )  # fmt: skip

    def check_zeros(self) -> None:
        """Refuses zeros that are none any more: they were changed through a view of them."""
        for tensor in self.alive:
            value = self.known(tensor)
            if value is not None and value.kind == "zero" and bool((tensor != 0).any()):
                raise UntraceableError(
                    f"its forward fills zeros (made at {value.where}) with other numbers",
                    "start from zeros, or make a constant with torch.full or torch.tensor",
                )

    def layer(
        self,
        name: str,
        module: nn.Module,
        given: torch.Tensor,
        run: Callable[[torch.Tensor], Any],
        key: str = "",
    ) -> Any:
        """Runs one of torch's layers, and records it."""
        value = self.known(given)
        unsized = value is not None and value.placeholder and not given.numel()
        if value is not None and unsized and isinstance(module, nn.Linear):
            given = self._sized(value, torch.zeros(1, module.in_features))
            value = self.known(given)
        self._unchanged(name, module)
        result = run(given)
        if value is None:
            return result  # of constants
        if value.kind == "opaque":
            return self.opaque(result, str(value.option))
        if not isinstance(result, torch.Tensor):
            return self.opaque(result, f"layer {name!r} ({type(module).__name__}) at {_where()}")
        if type(module) in IDENTITIES:
            return self.know(result, value)
        if type(module) in (nn.Flatten, nn.Unflatten) and value.kind != "zero":
            known = self._reshaped(name, result, value)
            made = self.known(known)
            assert made is not None
            made.name = name if made is not value else made.name
            return known
        if value.lead in ("TB", "BT") and not isinstance(module, nn.Linear | nn.ReLU):
            raise UntraceableError(
                f"gets all time steps at once at {_where()}, which it takes for a batch",
                "call it for each step, or on x.flatten(0, 1)",
                name, type(module).__name__, misread=True,
            )  # fmt: skip
        made = self.make(
            "layer", (value,), value.lead, result.shape,
            option=f"{module}{key}" if name not in self.trained else name,
            name=name, module=module,
        )  # fmt: skip
        return self.know(result, made)

    def neurons(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any],
        run: Callable[..., Any],
    ) -> Any:  # fmt: skip
        """Runs neurons, and records what they got and where their states came from."""
        self._unchanged(name, module)
        names = state_names(module)
        parameters = list(inspect.signature(type(module).forward).parameters)[1:]
        bound = dict(zip(parameters, args, strict=False)) | kwargs
        given = bound.pop(parameters[0])
        passed = [
            state for key in parameters[1:] for state in iterate_states(bound.get(key), names)
        ]
        current = self.known(given)
        kind = type(module).__name__
        calls = self.calls.get(name, [])
        states = []
        for i, state in enumerate(names):
            told = passed[i] if i < len(passed) else None
            states.append(told if told is not None else getattr(module, state, None))
        before = {self._before(name, state, x) for state, x in zip(names, states, strict=True)}
        result = run(*args, **kwargs)
        if current is None:
            raise UntraceableError(
                f"gets a constant at {_where()}", "give it what depends on the input", name, kind
            )
        if current.kind == "opaque":
            return self.opaque(result, str(current.option))
        whole = isinstance(module, SEQUENCE)
        if whole != ("T" in current.lead) or (whole and current.lead == "BT"):
            raise UntraceableError(
                f"gets {'one time step' if whole else 'all time steps at once'} at {_where()}",
                f"{kind} takes {'[T, B, N], all of them, time first' if whole else 'one a call'}",
                name, kind, misread=True,
            )  # fmt: skip
        call = Call(
            name, module, len(calls), current, before.pop() if len(before) == 1 else
            ("other" if before else "zero"), _where(),
        )  # fmt: skip
        self.calls[name] = [*calls, call]
        for state, tensor in zip(names, states, strict=True):
            value = self.known(tensor)
            if value is not None and value.placeholder:
                self.given[value.placeholder] = (call, state)
        parts = list(tensors_in(result))
        spikes = parts[0]
        call.spikes = self.make("neuron", (current,), current.lead, spikes.shape, call=call)
        self.know(spikes, call.spikes)
        kept = [*parts[1:], *(getattr(module, state, None) for state in names)]
        labels = [*[s for s in names if s != "spk"][: len(parts) - 1], *names]
        if whole or isinstance(module, snntorch.DeltaLeaky):
            labels = ["mem"] * len(kept)
        for tensor, state in zip(kept, labels, strict=True):
            if isinstance(tensor, torch.Tensor) and self.known(tensor) is None:
                value = self.make("state", (), current.lead, tensor.shape, option=state, call=call)
                self.know(tensor, value)
        return result

    def _before(self, name: str, state: str, tensor: torch.Tensor | None) -> str:
        """What a state was before a call: ``zero``, ``kept`` from the call before, or ``other``."""
        if tensor is None or not tensor.numel():
            return "zero"
        value = self.known(tensor)
        if value is None:
            return "other" if bool((tensor != 0).any()) else "zero"
        calls = self.calls.get(name, [])
        if value.kind == "zero":
            return "zero"
        own = value.option if value.kind == "state" else "spk"
        kept = calls and value.call is calls[-1] and own == state
        return "kept" if kept else "other"


def _operand(given: object) -> Constant | None:
    """A constant operand of arithmetic, if it is one."""
    if isinstance(given, bool | int | float):
        return Constant(np.full((1,), given, np.float32))
    if isinstance(given, torch.Tensor) and not given.is_complex():
        return Constant(given.detach().cpu().to(torch.float32).numpy().copy())
    return None


def _lead(value: Value, shape: tuple[int, ...], steps: int | None) -> str | None:
    """The first axes of ``value`` after it was given another shape."""
    if steps is None:
        return "B" if shape[0] == 1 and len(shape) > 1 else ""
    found = [
        lead
        for lead, start in (("TB", (steps, 1)), ("T", (steps,)), ("BT", (1, steps)))
        if shape[: len(start)] == start and len(shape) > len(start)
    ]
    exact = [lead for lead in found if shape[len(lead) :] == value.axes]
    if exact or not found:
        return exact[0] if exact else None
    merged = value.lead == "T" and value.axes[0] == 1  # the 1 may be a channel
    return "T" if merged and "T" in found else found[0]


def _trained(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """A layer's own parameters and what else a checkpoint has of it."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return [(key, x) for key, x in named if key not in module._non_persistent_buffers_set]


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def _name(func: Any) -> str:
    """What a function of torch is called; a property by its own name."""
    name = getattr(func, "__name__", str(func))
    if name in ("__get__", "__set__"):
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    return str(name).removeprefix("_") if name == "_max_pool2d" else str(name)


def _is_nothing(result: object) -> bool:
    """Whether a result says nothing of a tensor's numbers: its shape, type and place do not."""
    return result is None or isinstance(
        result, torch.Size | torch.device | torch.dtype | torch.layout | str
    )


def _depends(name: str) -> UntraceableError:
    return UntraceableError(
        f"its forward reads the numbers in a tensor ({name.strip('_')} at {_where()}), so what it "
        "computes may depend on the data",
        "compute the same for all data, without if, item() or numpy()",
    )


def _where() -> str:
    """The file and line of the user's own code that is running."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
