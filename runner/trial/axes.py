"""The numbers that a sweep varies, and the lines that its trials lie on along each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from runner.trial.description import Trial

AXES = {  # key -> what stands at its axis
    "input.size": "input size (pixels a side)",
    "input.batch_size": "batch size (images)",
    "timing.warmup": "warm-up (iterations)",
}


def place(trial: Trial, axis: str) -> int | None:
    """Where a trial lies along an axis; None for inputs that are not square, along input.size."""
    if axis == "input.size":
        height, width = trial.input.pixels
        return height if height == width else None
    return trial.input.batch_size if axis == "input.batch_size" else trial.timing.warmup


def lines(trials: Sequence[Trial], axis: str) -> list[list[int]]:
    """Indices of the trials on each line along an axis, in its order, one for each place.

    The trials of a line are alike in all else; those with less than two places are none.
    """
    groups: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for index, trial in enumerate(trials):
        where = place(trial, axis)
        if where is not None:
            groups[trial.key_without(axis), trial.device].setdefault(where, index)
    return [
        [group[where] for where in sorted(group)] for group in groups.values() if len(group) > 1
    ]
