"""Engine: a torch.nn.Module, cast, laid out and compiled as requested."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from runner.contract import ModelError, Problem
from runner.host.torch_private import has_fp16_kernels
from runner.models import compiled
from runner.models.cost import cost_of
from runner.models.guard import denormal_share
from runner.models.workload import Workload, converted, dtypes_of, shapes
from runner.trial.description import Runtime, Trial

CAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
AUTOCAST = {"amp_bf16": torch.bfloat16, "amp_fp16": torch.float16}
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}  # by number of dimensions


def prepare(
    network: torch.nn.Module, inputs: tuple[Any, ...], trial: Trial, device: torch.device
) -> Workload:
    """The network in eval mode as a workload, on its device and with the trial's runtime settings.

    Raises ModelError when a part of it stays in training mode.
    """
    runtime = trial.runtime
    network = evaluated(network, inputs)
    reference = None
    if changes_output(runtime):  # a copy for the comparison, on the CPU until after the timing
        reference = as_reference(copy.deepcopy(network), inputs, device)
    network = network.to(device)
    if dtype := CAST.get(runtime.precision):
        network, inputs = cast(network, inputs, dtype)
    if runtime.channels_last:
        _lay_out(network)
        inputs = converted(inputs, _laid_out)
    call: Callable[..., object] = network
    if runtime.compile != "off":
        call = compiled.compiled(network, runtime.compile)
    if autocast := AUTOCAST.get(runtime.precision):
        call = _autocast(call, device.type, autocast)
    facts = {
        "engine": lambda: f"torch {torch.__version__}",
        **_facts(network, trial.input.pixels),
        "input_shapes": lambda: shapes(inputs),
        "input_dtype": lambda: dtypes_of(inputs),
        "autocast": lambda: str(autocast).removeprefix("torch.") if autocast else None,
    }
    if runtime.compile != "off":
        facts |= compiled.facts()
    return Workload(call, inputs, facts, reference, cost=partial(cost_of, network, inputs))


def cast(
    network: torch.nn.Module, inputs: tuple[Any, ...], dtype: torch.dtype
) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    """The network and its floating-point inputs in another type."""
    return network.to(dtype), converted(
        inputs, lambda t: t.to(dtype) if t.is_floating_point() else t
    )


class ByKeyword(torch.nn.Module):
    """A network that takes its one dictionary of inputs as keywords."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network.eval()
        self.training = False

    def forward(self, inputs: dict[str, Any]) -> Any:
        """Call the network."""
        return self.network(**inputs)


def evaluated(network: torch.nn.Module, inputs: tuple[Any, ...]) -> torch.nn.Module:
    """The network in eval mode, callable with `inputs`.

    Raises ModelError when a part of it stays in training mode.
    """
    network = by_keyword(network.eval(), inputs)
    if training := training_parts(network):
        raise ModelError(
            f"the network is in training mode ({', '.join(training[:3])}) after eval(); "
            "its eval() must reach every part"
        )
    return network


def by_keyword(network: torch.nn.Module, inputs: tuple[Any, ...]) -> torch.nn.Module:
    """The network, callable with `inputs`."""
    return ByKeyword(network) if isinstance(inputs[0], dict) else network


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of these runtime settings on this machine."""
    precision, kind = trial.runtime.precision, trial.device_kind
    if kind == "cpu" and precision.endswith("fp16") and not has_fp16_kernels():
        found = f"runtime.precision={precision}, but this CPU has no instructions for fp16"
        yield Problem("runtime.precision", found, "use bf16 or amp_bf16, or a GPU")
    if trial.runtime.compile != "off":
        yield from compiled.problems(trial)


def changes_output(runtime: Runtime) -> bool:
    """Whether these settings may change the network's output."""
    plain = runtime.precision == "fp32" and runtime.compile == "off"
    return not plain or runtime.channels_last


def as_reference(
    network: torch.nn.Module, inputs: tuple[Any, ...], device: torch.device
) -> Callable[[], object]:
    """A function for one pass of the network in fp32, without TF32, on the device."""

    def output() -> object:
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        tf32 = matmul.allow_tf32, cudnn.allow_tf32
        matmul.allow_tf32 = cudnn.allow_tf32 = False
        try:
            return network.to(device)(*inputs)
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = tf32

    return output


def _autocast(
    call: Callable[..., object], device_type: str, dtype: torch.dtype
) -> Callable[..., object]:
    def in_autocast(*inputs: object) -> object:
        with torch.autocast(device_type, dtype):
            return call(*inputs)

    return in_autocast


def _lay_out(network: torch.nn.Module) -> None:
    """Convolution weights (2d and 3d) in channels-last order."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = _laid_out(tensor.data)


def _laid_out(tensor: torch.Tensor) -> torch.Tensor:
    layout = LAYOUTS.get(tensor.dim())
    return tensor if layout is None else tensor.contiguous(memory_format=layout)


def _facts(network: torch.nn.Module, size: tuple[int, int]) -> dict[str, Callable[[], Any]]:
    """Properties of the network read back, not as requested."""

    def channels_last() -> bool | None:
        """Whether all weights that can be channels-last are; None if there are none."""
        filters = [p for p in network.parameters() if p.dim() in LAYOUTS and not _ambiguous(p)]
        laid_out = [p.is_contiguous(memory_format=LAYOUTS[p.dim()]) for p in filters]
        return all(laid_out) if filters else None

    return {
        "dtype": lambda: dtypes_of(list(network.parameters())),
        "channels_last": channels_last,
        "network_size": lambda: _scaled(getattr(network, "transform", None), size),
        "denormal_weights": lambda: denormal_share(list(network.parameters())),
        "eval": lambda: not training_parts(network),
    }


def _ambiguous(tensor: torch.Tensor) -> bool:
    """Whether both orders have the same memory layout, as for a 1 x 1 filter."""
    return tensor.is_contiguous() and tensor.is_contiguous(memory_format=LAYOUTS[tensor.dim()])


def training_parts(network: torch.nn.Module) -> list[str]:
    """Names of the parts of a network that are in training mode."""
    return [name or "itself" for name, part in network.named_modules() if part.training]


def _scaled(transform: object, size: tuple[int, int]) -> list[int]:
    """(height, width) to which a detector's transform scales images of `size` before its network.

    As torchvision's GeneralizedRCNNTransform does; `size` itself without such a transform.
    """
    fixed = getattr(transform, "fixed_size", None)  # of an SSD: (width, height)
    if fixed:
        return [fixed[1], fixed[0]]
    least, most = getattr(transform, "min_size", None), getattr(transform, "max_size", None)
    if not isinstance(least, (tuple, list)) or not isinstance(most, int):
        return list(size)
    factor = min(least[-1] / min(size), most / max(size))
    return [math.floor(side * factor) for side in size]
