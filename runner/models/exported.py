"""Source of networks: a file of torch.export.save."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from runner.contract import Problem
from runner.models import files
from runner.models.files import other_shape, unreadable
from runner.trial.description import Model, Trial


class Exported(torch.nn.Module):
    """An exported program as a module: it has only the mode in which it was exported."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program.module()
        for part in self.modules():
            part.training = False

    def train(self, mode: bool = True) -> Exported:
        """Nothing to change."""
        return self

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """Run the program."""
        return self.program(*inputs, **keywords)


def network(trial: Trial) -> torch.nn.Module:
    """The program in the file."""
    return Exported(torch.export.load(str(trial.model.file)))


def problems(trial: Trial) -> Iterator[Problem]:
    """Problems of the file and of the inputs for it."""
    missing = list(unreadable(trial, "model.file=net.pt2"))
    yield from missing or other_shape(trial, _made_for(trial.model))


def own_size(model: Model) -> tuple[int, int] | None:
    """(height, width) of its first input, if that is an image."""
    return files.own_size(_made_for(model))


def _made_for(model: Model) -> files.Shapes:
    """Shapes of its inputs; None is a dynamic dimension."""
    program = torch.export.load(str(model.file))
    names = set(program.graph_signature.user_inputs)
    values = {
        node.name: getattr(node.meta.get("val"), "shape", None)
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in names
    }
    return {
        name: [size if isinstance(size, int) else None for size in shape]
        for name, shape in values.items()
        if shape is not None
    }
