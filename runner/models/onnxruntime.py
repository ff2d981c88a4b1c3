"""Engine: ONNX Runtime, on the CPU or with the CUDA or TensorRT provider on a GPU."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from runner.contract import ModelError, Problem
from runner.models.cost import cost_of
from runner.models.eager import CAST, as_reference, evaluated
from runner.models.onnx import DTYPES, OnnxFile
from runner.models.workload import (
    Workload,
    converted,
    dtypes_of,
    innermost,
    named,
    on_stream,
    shapes,
)
from runner.trial.description import Trial
from runner.trial.rules import PROVIDERS, missing_package

ELEMENTS = {dtype: element for element, dtype in DTYPES.items()}


def prepare(
    network: torch.nn.Module | OnnxFile,
    inputs: tuple[Any, ...],
    trial: Trial,
    device: torch.device,
) -> Workload:
    """The network's ONNX file, or one exported on the fly, in a session.

    Raises ModelError if it is not in eval mode or can't be exported, or if a requested
    provider is not used.
    """
    import onnxruntime

    dtype, reference, cost, setup_s = CAST.get(trial.runtime.precision), None, None, {}
    timed_inputs = inputs
    if dtype is not None:
        timed_inputs = converted(inputs, lambda t: t.to(dtype) if t.is_floating_point() else t)
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(network, OnnxFile):
            path = network.path
        else:
            callable_network = evaluated(network, inputs)
            reference = as_reference(callable_network, inputs, device)
            cost = partial(cost_of, callable_network, inputs)
            started = time.perf_counter()
            path = Path(folder) / "network.onnx"
            _export(network, converted(timed_inputs, torch.Tensor.cpu), dtype, path)
            setup_s["convert_s"] = time.perf_counter() - started
        stream = torch.cuda.Stream(device) if words(trial)[0] == "CUDA" else None  # type: ignore[no-untyped-call]
        session = onnxruntime.InferenceSession(
            path, sess_options=_options(trial), providers=_providers(trial, device, stream)
        )
    wanted = [PROVIDERS[name] for name in words(trial)]
    if session.get_providers()[0] != wanted[0]:
        raise ModelError(
            f"ONNX Runtime uses {session.get_providers()[0]} although {wanted[0]} was requested; "
            "its "
            "reason is in worker.log"
        )
    call = on_gpu(session, device, stream) if device.type == "cuda" else _on_cpu(session)
    facts: dict[str, Callable[[], Any]] = {
        "engine": lambda: f"onnxruntime {onnxruntime.__version__}",
        "providers": session.get_providers,
        "engine_threads": lambda: session.get_session_options().intra_op_num_threads,
        "dtype": lambda: dtypes_of(timed_inputs),  # the session accepts only its weights' type
        "input_dtype": lambda: ", ".join(one.type for one in session.get_inputs()),
        "input_shapes": lambda: shapes(timed_inputs),
    }
    return Workload(call, timed_inputs, facts, reference, setup_s, cost)


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of running it with ONNX Runtime on this machine."""
    try:
        import onnxruntime
    except ImportError:
        yield missing_package("engine", "engine=onnxruntime", "onnxruntime")
        return
    known, there = words(trial), onnxruntime.get_available_providers()
    for word in known:
        if PROVIDERS.get(word) not in there:
            names = [name for name, provider in PROVIDERS.items() if provider in there]
            found = f"engine.providers has {word}, but this onnxruntime has {', '.join(names)}"
            yield Problem("engine.providers", found, "use one of these, or install onnxruntime-gpu")
    if (known[:1] == ["CPU"]) != (trial.device_kind == "cpu"):
        found = f"engine.providers begins with {known[0]}, but the device is {trial.device}"
        yield Problem(
            "engine.providers", found, "use CPU with device=cpu, the others with device=cuda"
        )
    precision = trial.runtime.precision
    allowed = ("fp32",) if trial.device_kind == "cpu" else ("fp32", "tf32", "fp16", "bf16")
    if precision not in allowed:
        found = (
            f"runtime.precision={precision}, which ONNX Runtime does not support on {trial.device}"
        )
        yield Problem("runtime.precision", found, f"use {' or '.join(allowed)}")


def words(trial: Trial) -> list[str]:
    """The requested providers, else that of the device."""
    return trial.engine.providers or ["CPU" if trial.device_kind == "cpu" else "CUDA"]


def _export(
    network: torch.nn.Module, inputs: tuple[Any, ...], dtype: torch.dtype | None, path: Path
) -> None:
    """Write the network as ONNX. Raises ModelError when torch can't."""
    network = copy.deepcopy(network).eval()
    if dtype is not None:
        network = network.to(dtype)
    keywords = inputs[0] if isinstance(inputs[0], dict) else {}
    try:
        torch.onnx.export(
            network,
            () if keywords else inputs,
            path,
            kwargs=keywords,
            dynamo=True,
            verbose=False,
        )
    except Exception as error:  # torch's exporter raises many kinds
        raise ModelError(f"torch can't export this network to ONNX: {innermost(error)}") from error


def _options(trial: Trial) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = trial.runtime.interop_threads or 1
    options.use_deterministic_compute = trial.runtime.deterministic
    return options


def _providers(trial: Trial, device: torch.device, stream: torch.cuda.Stream | None) -> list[Any]:
    """Provider options; fp32 without TF32 unless that was requested."""
    index, tf32 = device.index or 0, int(trial.runtime.precision == "tf32")
    on_stream = {} if stream is None else {"user_compute_stream": str(stream.cuda_stream)}
    options = {
        "CPU": {},
        "CUDA": {"device_id": index, "use_tf32": tf32, **on_stream},
        "TensorRT": {"device_id": index, "trt_fp16_enable": trial.runtime.precision == "fp16"},
    }
    return [(PROVIDERS[word], options[word]) for word in words(trial)]


def _on_cpu(session: Any) -> Callable[..., object]:
    names = [one.name for one in session.get_inputs()]

    def call(*inputs: Any) -> object:
        arrays = {name: tensor.numpy() for name, tensor in named(names, inputs)}
        return session.run(None, arrays)

    return call


def tensor_of(value: Any) -> torch.Tensor:
    """A copy of an OrtValue, by DLPack: NumPy has no bf16."""
    if hasattr(value, "__dlpack__"):
        return torch.from_dlpack(value).clone()  # type: ignore[attr-defined]
    return torch.from_numpy(value.numpy())  # older onnxruntime


def on_gpu(
    session: Any, device: torch.device, stream: torch.cuda.Stream | None
) -> Callable[..., object]:
    """Inputs and outputs stay on the GPU.

    On a `stream` of torch a run is queued like torch's own work, behind what is in the current
    stream and before what follows there; the default stream can't be used, because ONNX Runtime
    takes its handle, 0, for none. Without a stream a run returns when its work is done.
    """
    names = [one.name for one in session.get_inputs()]
    results = [one.name for one in session.get_outputs()]
    index, kept = device.index or 0, dict[str, torch.Tensor]()
    binding = session.io_binding()
    run: Callable[..., object] = partial(session.run_with_iobinding, binding)
    if stream is not None:
        run = on_stream(partial(run, _without_waiting()), stream, device)

    def place(tensor: torch.Tensor) -> tuple[Any, ...]:
        return "cuda", index, ELEMENTS[tensor.dtype], list(tensor.shape), tensor.data_ptr()

    def call(*inputs: Any) -> object:
        for name, tensor in named(names, inputs):
            binding.bind_input(name, *place(tensor))
        if kept:
            run()
            return list(kept.values())
        for name in results:  # the first time wherever ONNX Runtime likes, to learn their shapes
            binding.bind_output(name, "cuda", index)
        run()
        if stream is not None:
            torch.cuda.synchronize(device)
        for name, value in zip(results, binding.get_outputs(), strict=True):
            kept[name] = tensor_of(value).to(device)
        binding.clear_binding_outputs()
        for name, tensor in kept.items():
            binding.bind_output(name, *place(tensor))
        return list(kept.values())

    return call


def _without_waiting() -> Any:
    """Options with which a run returns once its work is launched."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options
