"""Finds all problems of a grid that can't be composed; Hydra itself stops at the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra

from runner.config.explain import explain
from runner.config.grid import Axes
from runner.config.hydra_door import REFUSALS, composer
from runner.config.parse import trial_of
from runner.config.points import Points
from runner.contract import Problem, UsageError
from runner.host.devices import possible_devices


def diagnosis(axes: Axes, error: Exception, folders: Sequence[Path]) -> UsageError:
    """Everything wrong with a grid of which Hydra refused a point with `error`."""
    return UsageError(*(problems_of(axes, folders) or [Problem("", str(error))]))


def problems_of(axes: Axes, folders: Sequence[Path]) -> list[Problem]:
    """Everything wrong with a grid.

    Hydra stops at its first error. Here each override is tried alone, unless the first of all go
    together, and then, in a trial of the good ones, each good value in its turn: all problems, in
    time that grows with the values and not with their combinations.
    """
    found: list[Problem] = []
    first = [words[0] for words in axes.values()]
    GlobalHydra.instance().clear()  # the main one is not needed any more
    with composer(folders) as compose:
        points = Points(compose, folders)
        good = {key: list(words) for key, words in axes.items()}
        if _refusal(points, first) is not None:
            good = {}
            for key, words in axes.items():
                for word in words:
                    if (refused := _refusal(points, [word])) is None:
                        good.setdefault(key, []).append(word)
                    else:
                        found.append(explain(refused, word, folders))
        first = [words[0] for words in good.values()]
        varied = [
            (value, [*first[:place], value, *first[place + 1 :]])
            for place, words in enumerate(good.values())
            for value in words[1:]
        ]
        for word, point in [("", first), *varied]:
            try:
                trial_of(points.values(tuple(point)), possible_devices(), Path.cwd())
            except UsageError as refusal:
                found += refusal.problems
            except REFUSALS as refused:
                found += [explain(refused, word, folders)] if word else []
    return found


def _refusal(points: Points, words: Sequence[str]) -> Exception | None:
    """Hydra's error for these overrides; None if it can compose them."""
    try:
        points.values(tuple(words))
    except REFUSALS as error:
        return error
    except UsageError:
        return None  # a problem of the trial, not of the overrides
    return None
