"""Finds the commit that changed a time, from noisy rounds: Bayesian bisection.

Halving assumes that each answer is certain. Here each round moves a probability over the commits,
and the next round is played where it is expected to move it most.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

SURE = 0.99  # probability at which the search ends
SIZES, PER_ERROR = 3, 4  # standard errors around the size, and steps in each
MIN_SPREAD = 0.002  # of a round: a few equal rounds do not make it exact


@dataclass(frozen=True)
class Step:
    """The change that is searched for: `size` is its log ratio, `spread` that of single rounds.

    `rounds` is the number from which the two are known.
    """

    size: float
    spread: float
    rounds: int


@dataclass(frozen=True)
class Suspicion:
    """The commits, by index, that may have done it, and the probability that one of them did.

    Commits that can't be run can't be told apart from the next one that can.
    """

    commits: tuple[int, ...]
    probability: float


class Bisection:
    """The probability of each of `count` commits, the oldest first, of having made the change.

    The commit before the first one is good, the last one is bad. `prior` are weights.
    """

    def __init__(self, count: int, step: Step, prior: Sequence[float] | None = None) -> None:
        weights = np.ones(count) if prior is None else np.asarray(prior, dtype=float)
        if len(weights) != count or not count or not (weights > 0).all():
            raise ValueError(f"prior has {len(weights)} weights; expected {count} above 0")
        self._spread = max(step.spread, MIN_SPREAD)
        self._freedom = max(step.rounds - 1, 2)
        # the size is not known exactly: a probability over commits and sizes together
        away = np.linspace(-SIZES, SIZES, 2 * SIZES * PER_ERROR + 1)
        self._sizes = step.size + away * self._spread / math.sqrt(step.rounds)
        self._logs = np.log(weights)[:, None] + stats.norm.logpdf(away)[None, :]

    @property
    def probabilities(self) -> np.ndarray:
        """Of each commit, in their order; they sum to 1."""
        values = np.exp(self._logs - self._logs.max()).sum(axis=1)
        found: np.ndarray = values / values.sum()
        return found

    def observe(self, commit: int, log_ratio: float) -> None:
        """A round of this commit against the good one has yielded log(its time / the good time).

        Student's t keeps one round that is far off from deciding alone.
        """
        changed, same = (
            stats.t.logpdf((log_ratio - sizes) / self._spread, self._freedom)
            for sizes in (self._sizes[None, :], np.zeros((1, len(self._sizes))))
        )
        # it has the change if the commit that made it is not a later one
        made_by = np.arange(len(self._logs))[:, None]
        self._logs = self._logs + np.where(made_by <= commit, changed, same)

    def next(self, skipped: Collection[int] = ()) -> int | None:
        """The commit whose round is expected to tell most; None if none tells anything.

        The expected gain is largest where it is as likely as not that the commit has the change.
        """
        has_it = np.cumsum(self.probabilities)[:-1]  # the last one has it for certain
        for index in skipped:
            if index < len(has_it):
                has_it[index] = np.nan
        open_ones = np.where((has_it > 0) & (has_it < 1), abs(has_it - 0.5), np.nan)
        return None if np.isnan(open_ones).all() else int(np.nanargmin(open_ones))

    def suspicion(self, skipped: Collection[int] = ()) -> Suspicion:
        """The most probable commit, with those that can't be told apart from it."""
        probabilities = self.probabilities
        groups: list[list[int]] = [[]]
        for index in range(len(probabilities)):
            groups[-1].append(index)
            if index not in skipped:
                groups.append([])
        sums = [float(probabilities[group].sum()) if group else 0.0 for group in groups]
        best = int(np.argmax(sums))
        return Suspicion(tuple(groups[best]), sums[best])
