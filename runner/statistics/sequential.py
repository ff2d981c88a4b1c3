"""Decides a duet after as few rounds as its noise allows, without looking too often.

A duet yields one value each round, log(new / old). The interval of their trimmed mean (Tukey &
McLaughlin 1963) is computed after 6, 12, 24 and 48 rounds only, and each look spends its share of
ALPHA (Bonferroni; looks without such a correction would raise false decisions from 0.25 to 5.5 %,
simulated).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from runner.contract import DuetVerdict

LOOKS = (6, 12, 24, 48)  # rounds after which the values are judged
ALPHA = 0.01  # probability that any look decides against the truth
MARGIN = 0.02  # share below which a change does not matter
# share of the rounds that is cut off at each end, from some rounds on: single processes that are
# far off would make two thirds of the duets on a busy machine undecided, instead of 2 % (simulated)
TRIMMED, TRIMMED_FROM = 0.15, 12


@dataclass(frozen=True)
class Decision:
    """What a look found: `ratio` is new / old, `ci` its interval, valid over all looks together.

    `verdict` is None if more rounds are needed, `spread` the standard deviation of the values of
    single rounds.
    """

    verdict: DuetVerdict | None
    rounds: int
    ratio: float
    ci: tuple[float, float]
    spread: float


def decide(
    log_ratios: Sequence[float],
    looks: Sequence[int] = LOOKS,
    alpha: float = ALPHA,
    margin: float = MARGIN,
) -> Decision:
    """Judge the rounds so far; between two looks the verdict is None.

    `slower` and `faster`: the interval excludes no change, and the change is at least `margin`.
    `same`: the interval lies within `margin`. After the last look `undecided`.
    Raises ValueError for fewer than two rounds.
    """
    count = len(log_ratios)
    if count < 2:
        raise ValueError(f"{count} rounds; expected at least 2")
    values = np.asarray(log_ratios, dtype=float)
    cut = TRIMMED if count >= TRIMMED_FROM else 0.0
    left = count - 2 * int(cut * count)
    winsorized = np.asarray(stats.mstats.winsorize(values, (cut, cut)))
    error = float(winsorized.std(ddof=1)) * math.sqrt(count) / left
    half = float(stats.t.ppf(1 - alpha / len(looks) / 2, left - 1)) * error
    mean, spread = float(stats.trim_mean(values, cut)), float(values.std(ddof=1))
    low, high = mean - half, mean + half
    verdict = None
    if count in looks or count > looks[-1]:
        verdict = _verdict(mean, low, high, margin)
        if verdict is None and count >= looks[-1]:
            verdict = DuetVerdict.UNDECIDED
    return Decision(verdict, count, math.exp(mean), (math.exp(low), math.exp(high)), spread)


def _verdict(mean: float, low: float, high: float, margin: float) -> DuetVerdict | None:
    slower, faster = math.log1p(margin), math.log1p(-margin)
    if low > 0 and mean >= slower:
        return DuetVerdict.SLOWER
    if high < 0 and mean <= faster:
        return DuetVerdict.FASTER
    return DuetVerdict.SAME if faster < low and high < slower else None
