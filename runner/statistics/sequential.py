"""Decides a duet after as few rounds as its noise allows, without looking too often.

A duet yields one value each round, log(new / old). The interval of their mean is computed after 6,
12, 24 and 48 rounds only, and each look spends its share of ALPHA (Bonferroni; looks without
such a correction would raise false decisions from 0.25 to 5.5 %, simulated).
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
    mean, spread = float(np.mean(log_ratios)), float(np.std(log_ratios, ddof=1))
    quantile = float(stats.t.ppf(1 - alpha / len(looks) / 2, count - 1))
    half = quantile * spread / math.sqrt(count)
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
