"""The numeric axes of a sweep, and the lines of its trials along each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from runner.trial.description import Trial

AXES = {  # key -> title of its axis
    "input.size": "input size (pixels a side)",
    "input.batch_size": "batch size (images)",
    "timing.warmup": "warm-up (iterations)",
    "load.rate": "rate (queries a second)",
}


def place(trial: Trial, axis: str) -> int | None:
    """The position of a trial on an axis, rounded.

    None on input.size for inputs that are not square, and on load.rate without one.
    """
    if axis == "load.rate":
        return None if trial.load.rate is None else round(trial.load.rate)
    if axis == "input.size":
        height, width = trial.input.pixels
        return height if height == width else None
    return trial.input.batch_size if axis == "input.batch_size" else trial.timing.warmup


def lines(trials: Sequence[Trial], axis: str) -> list[list[int]]:
    """Indices of the trials of each line along an axis, in its order, one for each position.

    The trials of a line are equal in all else; a line has at least two positions.
    """
    groups: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for index, trial in enumerate(trials):
        where = place(trial, axis)
        if where is not None:
            groups[trial.key_without(axis), trial.device].setdefault(where, index)
    return [
        [group[where] for where in sorted(group)] for group in groups.values() if len(group) > 1
    ]
