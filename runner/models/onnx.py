"""Source of networks: an ONNX file, for the engines that read one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.contract import Problem
from runner.models.files import image_size, other_shape, unreadable
from runner.trial.description import Model, Trial
from runner.trial.rules import missing_package


@dataclass(frozen=True)
class OnnxFile:
    """A network on disk, which torch can't run."""

    path: Path


def network(trial: Trial) -> OnnxFile:
    """The file."""
    return OnnxFile(Path(str(trial.model.file)))


def problems(trial: Trial) -> Iterator[Problem]:
    """Why the file can't be read, does not take the inputs, or has no engine."""
    missing = list(unreadable(trial, "model.file=net.onnx"))
    try:
        yield from missing or other_shape(trial, _shape(trial.model))
    except ImportError:
        yield missing_package("model", "model=onnx", "onnx")
    if trial.engine.name == "eager":
        found = "engine=eager is torch, which does not run ONNX files"
        yield Problem("engine", found, "use engine=onnxruntime or engine=openvino")


def own_size(model: Model) -> tuple[int, int] | None:
    """(height, width) of its first input, where that is an image."""
    return image_size(_shape(model))


def _shape(model: Model) -> list[int | None] | None:
    """Shape of its first input, None for what may be any number."""
    import onnx

    graph = onnx.load(str(model.file), load_external_data=False).graph
    weights = {one.name for one in graph.initializer}
    first = next((one for one in graph.input if one.name not in weights), None)
    if first is None:
        return None
    return [size.dim_value or None for size in first.type.tensor_type.shape.dim]
