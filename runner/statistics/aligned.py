"""Nights as arrays with gaps: the processes of each trial in each night."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runner.statistics.difference import without_common


def processes_of(
    history: Sequence[Sequence[np.ndarray]],
    tonight: Sequence[np.ndarray],
    times: Sequence[Sequence[Sequence[float]] | None],
) -> np.ndarray:
    """Nights, tonight last, x trials x processes; NaN where there are fewer.

    If the start `times` of nights are known, the part that neighbours in time share is removed.
    """
    depth = max(map(len, history))
    nights = [
        [trial[-back] if len(trial) >= back else np.empty(0) for trial in history]
        for back in range(depth, 0, -1)
    ] + [list(tonight)]
    most = max(len(logs) for night in nights for logs in night)
    found = np.full((len(nights), len(history), most), np.nan)
    for back, night in enumerate(reversed(nights), 1):
        known = times[-back] if len(times) >= back else None
        for at, logs in enumerate(_settled(night, known)):
            found[-back, at, : len(logs)] = logs
    return found


def _settled(
    night: Sequence[np.ndarray], times: Sequence[Sequence[float]] | None
) -> Sequence[np.ndarray]:
    """A night's log medians, less what neighbours in time share if their times are known."""
    if times is None or any(
        len(logs) and len(began) != len(logs) for began, logs in zip(times, night, strict=True)
    ):
        return night
    there = [at for at, logs in enumerate(night) if len(logs)]
    settled = list(night)
    began_s = [np.asarray(times[at], dtype=float) for at in there]
    for at, logs in zip(there, without_common([night[at] for at in there], began_s), strict=True):
        settled[at] = logs
    return settled


def aligned(ago: Sequence[Sequence[int]]) -> np.ndarray:
    """Nights x trials, the latest last; 0 before a trial's first night."""
    found = np.zeros((max(map(len, ago)), len(ago)), dtype=int)
    for at, labels in enumerate(ago):
        found[len(found) - len(labels) :, at] = labels
    return found
