"""Files with networks: do they exist, what wrote them, which inputs do they take."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from runner.contract import Problem
from runner.host.raised import words_of
from runner.models.inputs import inputs_of
from runner.models.workload import named
from runner.trial.description import Trial

CHANNELS = (1, 3, 4)  # that images have
WRITERS = {  # member of a torch archive: what wrote it, and what runs it
    "archive_format": ("torch.export.save", "model=exported"),
    "constants.pkl": ("torch.jit.save", "model=torchscript"),
    "data.pkl": ("torch.save", "model=custom, with a model.target that loads it"),
}
Shape = Sequence[int | None]  # None: any number
Shapes = Mapping[str, Shape]  # of the inputs, by their names, in order


def unreadable(trial: Trial, example: str) -> Iterator[Problem]:
    """Problems of `model.file`: missing, or written by another program."""
    model = trial.model
    if model.file is None or not os.path.isfile(model.file):
        found = f"model.file is {model.file or 'null'}, which is not a file in {Path.cwd()}"
        yield Problem("model.file", found, f"model={model.source} needs one, as in {example}")
    elif (wrote := _writer(model.file)) and not wrote[1].startswith(f"model={model.source}"):
        found = f"{model.file} was written by {wrote[0]}, which model={model.source} does not read"
        yield Problem("model.file", found, f"use {wrote[1]}")


def _writer(file: str) -> tuple[str, str] | None:
    """The part of torch that wrote a file, and how to run it; None if unknown."""
    if not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:
        there = {name.rpartition("/")[2] for name in archive.namelist()}
    return next((wrote for name, wrote in WRITERS.items() if name in there), None)


def image_size(shape: Shape | None) -> tuple[int, int] | None:
    """(height, width) of an input of this shape, if that is an image of a fixed size.

    Channels come first, or last if only that dimension can be the channels.
    """
    if shape is None or len(shape) != 4:
        return None
    last = shape[1] not in CHANNELS and shape[3] in CHANNELS
    height, width = shape[1:3] if last else shape[2:]
    return None if height is None or width is None else (height, width)


def own_size(made_for: Shapes) -> tuple[int, int] | None:
    """(height, width) of the first input, if that is an image."""
    return image_size(next(iter(made_for.values()), None))


def other_shape(trial: Trial, made_for: Shapes) -> Iterator[Problem]:
    """Problems of the trial's inputs for a file that takes `made_for`, by name."""
    size = trial.input.size or own_size(made_for)
    if size is None:
        return  # reported by the check of model.inputs
    if trial.model.inputs is None:
        images = (trial.input.batch_size, 3, *size)
        yield from _unfit_images(trial, made_for, images)
        return
    known = replace(trial, input=replace(trial.input, size=size))
    try:
        given = [(name, tuple(tensor.shape)) for name, tensor in _made(known, made_for)]
    except Exception as error:  # from the user's callable, or because names differ
        found = f"model.inputs={trial.model.inputs} does not fit {trial.model.file}"
        yield Problem("model.inputs", f"{found} ({words_of(error)})")
        return
    for name, shape in given:
        if not _fits(shape, made_for[name]):
            found = f"{trial.model.file} takes {_shown(made_for[name])} for {name}"
            made = f"model.inputs={trial.model.inputs} makes {_shown(shape)}"
            yield Problem("model.inputs", f"{found}, but {made}")


def _made(trial: Trial, made_for: Shapes) -> list[tuple[str, torch.Tensor]]:
    return named([*made_for], inputs_of(trial, torch.device("cpu")))


def _unfit_images(trial: Trial, made_for: Shapes, images: Shape) -> Iterator[Problem]:
    """Problems of images in torchvision's form."""
    own, shape = "model.inputs=my_package.inputs", next(iter(made_for.values()), None)
    found = (
        f"{trial.model.file} takes inputs of {_shown(shape)}, but {_shown(images)} were requested"
    )
    if len(made_for) > 1:
        found = f"{trial.model.file} takes {len(made_for)} inputs: {', '.join(made_for)}"
        yield Problem("model.inputs", found, f"create them with a function of your own: {own}")
    elif shape is None or len(shape) != 4:
        return  # a clip, or something that only the user knows
    elif shape[1] not in (3, None):
        yield Problem("model.inputs", found, f"create others with a function of your own: {own}")
    elif not _fits(images, shape):
        remedy = "set input.batch_size and input.size to match, or export it for other shapes"
        yield Problem("input.size", found, remedy)


def _fits(given: Shape, made_for: Shape) -> bool:
    return len(given) == len(made_for) and all(
        fixed in (None, number) for number, fixed in zip(given, made_for, strict=True)
    )


def _shown(shape: Shape | None) -> str:
    return "x".join("any" if size is None else str(size) for size in shape or ())
