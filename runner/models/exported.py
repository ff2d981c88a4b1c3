"""Source of networks: a file of torch.export.save."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from runner.contract import Problem
from runner.models.files import image_size, other_shape, unreadable
from runner.trial.description import Model, Trial


class Exported(torch.nn.Module):
    """An exported program as a module: it was exported in one mode and knows no other."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program.module()
        for part in self.modules():
            part.training = False

    def train(self, mode: bool = True) -> Exported:
        """Nothing to change."""
        return self

    def forward(self, *inputs: Any) -> Any:
        """Run the program."""
        return self.program(*inputs)


def network(trial: Trial) -> torch.nn.Module:
    """The program that the file holds."""
    return Exported(torch.export.load(str(trial.model.file)))


def problems(trial: Trial) -> Iterator[Problem]:
    """Why the file can't be read, or does not take the inputs."""
    missing = list(unreadable(trial, "model.file=net.pt2"))
    yield from missing or other_shape(trial, _shape(trial.model))


def own_size(model: Model) -> tuple[int, int] | None:
    """(height, width) of its first input, where that is an image."""
    return image_size(_shape(model))


def _shape(model: Model) -> list[int | None] | None:
    """Shape of its first input, None for what may be any number."""
    program = torch.export.load(str(model.file))
    names = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            shape = getattr(node.meta.get("val"), "shape", None)
            return None if shape is None else [n if isinstance(n, int) else None for n in shape]
    return None
