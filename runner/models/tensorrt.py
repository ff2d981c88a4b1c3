"""Engine: TensorRT on an NVIDIA GPU, for networks (torch-tensorrt) and serialized engines."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from runner.contract import ModelError, Problem
from runner.models import eager
from runner.models.cost import cost_of
from runner.models.engine import DTYPES, EngineFile, deserialized
from runner.models.workload import Workload, dtypes_of, innermost, named, on_stream, shapes
from runner.trial.description import Trial
from runner.trial.rules import missing_package

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
CONVERTED = "_run_on_acc"  # prefix of the names of parts that torch-tensorrt has converted


def prepare(
    network: torch.nn.Module | EngineFile,
    inputs: tuple[Any, ...],
    trial: Trial,
    device: torch.device,
) -> Workload:
    """The network converted for inputs of exactly these shapes, or the engine in its file.

    Raises ModelError when it is not in eval mode, can't be converted, or is of another GPU.
    """
    if isinstance(network, EngineFile):
        return _of_file(network, inputs, device)
    import torch_tensorrt

    network = eager.evaluated(network, inputs)
    reference = eager.as_reference(network, inputs, device)
    cost = partial(cost_of, network, inputs)
    converted = copy.deepcopy(network).to(device)
    if dtype := eager.CAST.get(trial.runtime.precision):
        converted, inputs = eager.cast(converted, inputs, dtype)
    started = time.perf_counter()
    try:
        compiled = torch_tensorrt.compile(
            converted,
            ir="dynamo",
            inputs=list(inputs),
            use_explicit_typing=True,  # of the network, which has been cast
            disable_tf32=trial.runtime.precision != "tf32",
        )
    except Exception as error:  # its converters raise many kinds
        raise ModelError(f"TensorRT can't convert this network: {innermost(error)}") from error
    setup_s = {"convert_s": time.perf_counter() - started}
    facts: dict[str, Callable[[], Any]] = {
        "engine": lambda: f"torch_tensorrt {torch_tensorrt.__version__}",
        "engine_parts": lambda: _parts(compiled),
        "dtype": lambda: dtypes_of(list(converted.parameters())),
        "input_dtype": lambda: dtypes_of(inputs),
        "input_shapes": lambda: shapes(inputs),
    }
    return Workload(compiled, inputs, facts, reference, setup_s, cost)


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of running it with TensorRT on this machine."""
    package = "tensorrt" if trial.model.source == "engine" else "torch_tensorrt"
    if find_spec(package) is None:
        yield missing_package("engine", "engine=tensorrt", "tensorrt")
    precision = trial.runtime.precision
    if precision not in PRECISIONS:
        found = f"runtime.precision={precision}, which TensorRT does not support"
        yield Problem("runtime.precision", found, f"use {' or '.join(PRECISIONS)}")
    elif trial.model.source == "engine" and precision != "fp32":
        found = f"runtime.precision={precision}, but {trial.model.label} has a fixed one"
        yield Problem("runtime.precision", found, "omit it, or build another engine")


def _of_file(network: EngineFile, inputs: tuple[Any, ...], device: torch.device) -> Workload:
    import tensorrt

    # not the default stream: TensorRT would synchronize it
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    started = time.perf_counter()
    engine = deserialized(network.path)
    run = on_stream(bound(engine, device, stream.cuda_stream), stream, device)
    setup_s = {"convert_s": time.perf_counter() - started}
    facts: dict[str, Callable[[], Any]] = {
        "engine": lambda: f"tensorrt {tensorrt.__version__}",
        "input_dtype": lambda: dtypes_of(inputs),
        "input_shapes": lambda: shapes(inputs),
    }
    return Workload(run, inputs, facts, None, setup_s, None)


def bound(engine: Any, device: torch.device, stream: int) -> Callable[..., object]:
    """A function that launches the engine on a stream; outputs stay on the GPU."""
    import tensorrt

    context = engine.create_execution_context()
    names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
    into = tensorrt.TensorIOMode.INPUT
    given = [name for name in names if engine.get_tensor_mode(name) == into]
    made: dict[str, torch.Tensor] = {}

    def call(*inputs: Any) -> object:
        for name, tensor in named(given, inputs):
            if not made:
                context.set_input_shape(name, tuple(tensor.shape))
            context.set_tensor_address(name, tensor.data_ptr())
        if not made:
            for name in names:
                if name not in given:
                    shape = tuple(context.get_tensor_shape(name))
                    dtype = DTYPES[engine.get_tensor_dtype(name).name]
                    made[name] = torch.empty(shape, dtype=dtype, device=device)
                    context.set_tensor_address(name, made[name].data_ptr())
        if not context.execute_async_v3(stream):
            raise ModelError("TensorRT did not launch the engine; its reason is in worker.log")
        return list(made.values())

    return call


def _parts(compiled: Any) -> dict[str, int]:
    """How many parts of the network TensorRT runs, and how many torch."""
    names = [name for name, _ in compiled.named_children() if name.startswith("_run_on_")]
    own = sum(name.startswith(CONVERTED) for name in names)
    return {"tensorrt": own, "torch": len(names) - own}
