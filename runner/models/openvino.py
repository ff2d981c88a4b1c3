"""Engine: OpenVINO, on the CPU."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from runner.contract import ModelError, Problem
from runner.models.cost import cost_of
from runner.models.eager import as_reference, evaluated
from runner.models.onnx import OnnxFile
from runner.models.workload import Workload, dtypes_of, innermost, named, shapes
from runner.trial.description import Trial
from runner.trial.rules import missing_package

PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}  # names of its hint


def prepare(
    network: torch.nn.Module | OnnxFile,
    inputs: tuple[Any, ...],
    trial: Trial,
    device: torch.device,
) -> Workload:
    """The network converted and compiled for inputs of exactly these shapes.

    Raises ModelError when it is not in eval mode or can't be converted.
    """
    import openvino

    reference = cost = None
    if not isinstance(network, OnnxFile):
        network = evaluated(network, inputs)
        reference = as_reference(network, inputs, device)
        cost = partial(cost_of, network, inputs)
        network = copy.deepcopy(network)
    started = time.perf_counter()
    compiled = _compiled(network, inputs, trial)
    setup_s = {"convert_s": time.perf_counter() - started}
    request = compiled.create_infer_request()
    places = _places(compiled)
    names = list(places)

    def call(*inputs: Any) -> object:
        arrays = {places[name]: tensor.numpy() for name, tensor in named(names, inputs)}
        found = request.infer(arrays, share_inputs=True, share_outputs=True)
        return [found[output] for output in compiled.outputs]

    facts: dict[str, Callable[[], Any]] = {
        "engine": lambda: f"openvino {openvino.__version__}",
        "engine_threads": lambda: compiled.get_property("INFERENCE_NUM_THREADS"),
        "engine_precision": lambda: _precision(compiled),
        "dtype": lambda: dtypes_of(inputs),
        "input_shapes": lambda: shapes(inputs),
    }
    return Workload(call, inputs, facts, reference, setup_s, cost)


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of running it with OpenVINO on this machine."""
    try:
        import openvino  # noqa: F401
    except ImportError:
        yield missing_package("engine", "engine=openvino", "openvino")
        return
    if trial.device_kind != "cpu":
        found = f"engine=openvino runs on the CPU here, but the device is {trial.device}"
        yield Problem("engine", found, "use device=cpu")
        return
    precision = trial.runtime.precision
    if precision not in PRECISIONS:
        found = f"runtime.precision={precision}, which OpenVINO does not support"
        yield Problem("runtime.precision", found, f"use {' or '.join(PRECISIONS)}")
    elif precision.upper() not in (there := _capabilities()):
        usable = [word for word in PRECISIONS if word.upper() in there]
        found = (
            f"runtime.precision={precision}, but OpenVINO does not support {precision} on this CPU"
        )
        yield Problem("runtime.precision", found, f"use {' or '.join(usable)}")


def _capabilities() -> list[str]:
    """Capabilities of its CPU plugin on this CPU: FP32, BF16, FP16, ..."""
    import openvino

    found: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def _compiled(network: Any, inputs: tuple[Any, ...], trial: Trial) -> Any:
    """Compile for the CPU with an explicit precision: by default it uses bf16 where available."""
    import openvino

    core = openvino.Core()
    try:
        if isinstance(network, OnnxFile):
            model = core.read_model(network.path)
        else:
            model = openvino.convert_model(network, example_input=inputs)
        places = _places(model)
        shapes = {places[name]: tuple(one.shape) for name, one in named([*places], inputs)}
        model.reshape({model.inputs[place]: shape for place, shape in shapes.items()})
        return core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "INFERENCE_PRECISION_HINT": PRECISIONS[trial.runtime.precision],
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
    except Exception as error:  # its frontends raise many kinds
        raise ModelError(f"OpenVINO can't convert this network: {innermost(error)}") from error


def _places(model: Any) -> dict[str, int]:
    """Indices of its inputs by name; an input without a name is named by its index."""
    names = (sorted(one.get_names()) or [str(place)] for place, one in enumerate(model.inputs))
    return {first: place for place, (first, *_) in enumerate(names)}


def _precision(compiled: Any) -> str:
    """The precision in which it really computes, in our terms."""
    text: str = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    return {theirs: ours for ours, theirs in PRECISIONS.items()}.get(text, text)
