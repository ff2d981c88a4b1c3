"""Files that hold a network: is it there, and for which inputs is it made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.contract import Problem
from runner.trial.description import Trial


def unreadable(trial: Trial, example: str) -> Iterator[Problem]:
    """Why `model.file` is no file."""
    model = trial.model
    if model.file is None or not os.path.isfile(model.file):
        found = f"model.file is {model.file or 'null'}, which is no file in {Path.cwd()}"
        yield Problem("model.file", found, f"model={model.source} needs one, as in {example}")


def image_size(shape: Sequence[int | None] | None) -> tuple[int, int] | None:
    """(height, width) of an input of this shape, where that is an image of one size."""
    if shape is None or len(shape) != 4 or shape[2] is None or shape[3] is None:
        return None
    return shape[2], shape[3]


def other_shape(trial: Trial, shape: Sequence[int | None] | None) -> Iterator[Problem]:
    """Why inputs do not fit a file that is made for this `shape` (None: any number)."""
    if shape is None or len(shape) != 4:
        return
    # a size that is not known yet will be the file's own
    asked = (trial.input.batch_size, 3, *(trial.input.size or shape[2:]))
    if any(fixed not in (None, number) for number, fixed in zip(asked, shape, strict=True)):
        made_for = "x".join("any" if fixed is None else str(fixed) for fixed in shape)
        found = f"{trial.model.file} takes inputs of {made_for}, but {'x'.join(map(str, asked))}"
        remedy = "set input.batch_size and input.size so, or export it for other shapes"
        yield Problem("input.size", f"{found} are asked for", remedy)
