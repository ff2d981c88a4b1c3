"""Source of networks: an engine serialized by TensorRT, for one kind of GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from runner.contract import ModelError, Problem
from runner.models import files
from runner.trial.description import Model, Trial

DTYPES = {  # by the names of TensorRT's DataType
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT8": torch.int8,
    "UINT8": torch.uint8,
    "INT32": torch.int32,
    "INT64": torch.int64,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class EngineFile:
    """A network on disk, which only TensorRT can run."""

    path: Path


def network(trial: Trial) -> EngineFile:
    """The file."""
    return EngineFile(Path(str(trial.model.file)))


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of the file and of the inputs for it."""
    missing = list(files.unreadable(trial, "model.file=net.engine"))
    if trial.engine.name != "tensorrt":
        found = f"engine={trial.engine.name} does not run TensorRT engines"
        yield Problem("engine", found, "use engine=tensorrt")
    elif missing or find_spec("tensorrt") is None:
        yield from missing
    else:
        yield from files.other_shape(trial, _made_for(trial.model))


def own_size(model: Model) -> tuple[int, int] | None:
    """(height, width) of its first input, if that is an image."""
    return files.own_size(_made_for(model))


def input_dtypes(network: EngineFile) -> list[torch.dtype]:
    """The types of its inputs."""
    engine = deserialized(network.path)
    return [DTYPES[engine.get_tensor_dtype(name).name] for name in _inputs(engine)]


def deserialized(path: Path) -> Any:
    """The engine in a file. Raises ModelError for one of another version or GPU."""
    import tensorrt

    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise ModelError(
            f"{path} is not an engine that TensorRT {tensorrt.__version__} can run on this GPU; "
            "build it here, with this version"
        )
    return engine


def _made_for(model: Model) -> files.Shapes:
    engine = deserialized(Path(str(model.file)))
    return {
        name: [size if size >= 0 else None for size in engine.get_tensor_shape(name)]
        for name in _inputs(engine)
    }


def _inputs(engine: Any) -> list[str]:
    import tensorrt

    names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
    into = tensorrt.TensorIOMode.INPUT
    return [name for name in names if engine.get_tensor_mode(name) == into]
