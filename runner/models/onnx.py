"""Source of networks: an ONNX file, for the engines that read one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from runner.contract import Problem
from runner.models import files
from runner.models.files import other_shape, unreadable
from runner.trial.description import Model, Trial
from runner.trial.rules import missing_package

DTYPES = {  # by the numbers of ONNX's TensorProto
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}


@dataclass(frozen=True)
class OnnxFile:
    """A network on disk, which torch can't run."""

    path: Path


def network(trial: Trial) -> OnnxFile:
    """The file."""
    return OnnxFile(Path(str(trial.model.file)))


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of the file, its inputs and its engine."""
    missing = list(unreadable(trial, "model.file=net.onnx"))
    try:
        yield from missing or other_shape(trial, _made_for(trial.model))
    except ImportError:
        yield missing_package("model", "model=onnx", "onnx")
    if trial.engine.name == "eager":
        found = "engine=eager is torch, which does not run ONNX files"
        yield Problem("engine", found, "use engine=onnxruntime or engine=openvino")


def input_dtypes(network: OnnxFile) -> list[torch.dtype]:
    """The types of its inputs, as far as torch has them."""
    found = (one.type.tensor_type.elem_type for one in _inputs(network.path))
    return [DTYPES[element] for element in found if element in DTYPES]


def own_size(model: Model) -> tuple[int, int] | None:
    """(height, width) of its first input, if that is an image."""
    return files.own_size(_made_for(model))


def _made_for(model: Model) -> files.Shapes:
    """Shapes of its inputs; None is a dynamic dimension."""
    return {
        one.name: [size.dim_value or None for size in one.type.tensor_type.shape.dim]
        for one in _inputs(Path(str(model.file)))
    }


def _inputs(path: Path) -> list[Any]:
    """Its inputs; old files list their weights among them."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {one.name for one in graph.initializer}
    return [one for one in graph.input if one.name not in weights]
