"""The nightly gate: whether a trial has become slower tonight than in the nights before.

    from runner.statistics.gate import judge
    night = judge(history, tonight)

`history` has for each trial its nights, the latest last, each a list of processes, each the
samples of one process in milliseconds; `tonight` the same for one night. A night without the trial
is an empty list. The unit is the process and its value the logarithm of its median; a night's
value is the median of theirs. Nights x trials is polished into the level of each trial and what
each night did to all of them; the variance from night to night is moderated over trials.
Sources: Tukey, 1977 (median polish); Smyth, 2004; Holm, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from runner.statistics.difference import (
    MANY,
    SUITE_SHIFT,
    found_from,
    holm,
    moderation,
    without_common,
)
from runner.statistics.quantiles import CONFIDENCE

REGRESSION, SUSPECT = 0.02, 0.012  # changes that matter
FAMILY = 0.01  # nights without a change on which anything may be called a regression
SUSPICION = 0.05
MOST_SUSPECTS = 10
FEWEST_NIGHTS = 4  # by which a regression can be called
EXCLUDED = 0.05  # the slowdown that a pass has excluded
SURE = 0.995  # with which it has
MEDIAN_VARIANCE = math.pi / 2  # of a median, in units of a mean's
CLIPPED_FROM = 6  # nights, from which on single ones far off are drawn in
FAR = 3.5  # robust standard deviations
POLISHES = 10

Samples = Sequence[float] | np.ndarray
Processes = Sequence[Samples]
Times = Mapping[str, Sequence[float]]  # of each trial, when each of its processes began


@dataclass(frozen=True)
class Judged:
    """One trial: `ratio` is tonight's time over its level, `ci` the 95 % interval, `p` one-sided.

    `detectable` is the slowdown, as a share, that such a night finds in 4 of 5 cases; `nights` how
    many it was judged by. Verdicts: regression, suspect, pass, improvement, inconclusive,
    no_baseline (no night before), missing (none tonight); the last two have no figures.
    """

    verdict: str
    nights: int = 0
    ratio: float | None = None
    ci: tuple[float, float] | None = None
    p: float | None = None
    detectable: float | None = None


@dataclass(frozen=True)
class Night:
    """All trials, and the night's health.

    `shift` is what tonight did to all trials, as a share; of 20 trials or more it has been taken
    out of the ratios. It is a `question` of its own from 1.5 % on: machine or software?
    Intervals were `widened` by what trials moved more than their nights say.
    """

    trials: dict[str, Judged]
    shift: float | None
    question: bool
    widened: float
    detectable: float | None


@dataclass(frozen=True)
class _Levels:
    """By trial: level, variance of a night's value, its degrees of freedom, nights, processes."""

    level: np.ndarray
    variance: np.ndarray
    freedom: np.ndarray
    nights: np.ndarray
    within: np.ndarray
    processes: np.ndarray


def judge(
    history: Mapping[str, Sequence[Processes]],
    tonight: Mapping[str, Processes],
    *,
    began_s: Sequence[Times] | None = None,
    tonight_began_s: Times | None = None,
) -> Night:
    """Judge tonight by the nights before.

    `began_s`, one mapping a night, the latest last, and `tonight_began_s` say when each process
    began, where that is known: what neighbours in time share is then taken out. Raises ValueError
    for a process without samples or with one that is not above 0.
    """
    logs = {name: [_logs(night) for night in nights] for name, nights in history.items()}
    times = list(began_s or ())
    return judge_logs(
        logs,
        {name: _logs(processes) for name, processes in tonight.items()},
        began_s=times,
        tonight_began_s=tonight_began_s,
    )


def _logs(processes: Processes) -> np.ndarray:
    values = [float(np.median(np.asarray(samples, dtype=float))) for samples in processes]
    if values and not min(values) > 0:
        raise ValueError("a process is judged by the logarithm of its median, which is above 0")
    logs: np.ndarray = np.log(np.array(values))
    return logs


def judge_logs(
    history: Mapping[str, Sequence[np.ndarray]],
    tonight: Mapping[str, np.ndarray],
    *,
    began_s: Sequence[Times] = (),
    tonight_began_s: Times | None = None,
) -> Night:
    """Judge by the logarithms of the processes' medians, which is all that the gate needs."""
    names = [name for name in history if any(len(night) for night in history[name])]
    judged = {name: Judged("no_baseline") for name in tonight if name not in names}
    judged |= {name: Judged("missing") for name in names if not len(tonight.get(name, ()))}
    names = [name for name in names if name not in judged]
    if not names:
        return Night(judged, None, False, 1.0, None)
    many = len(names) >= MANY
    levels = _levels([history[name] for name in names], names, began_s, many)
    now = _settled([tonight[name] for name in names], names, tonight_began_s)
    changes = np.array([np.median(values) for values in now]) - levels.level
    shift = float(np.median(changes)) if many else 0.0
    changes = changes - shift
    counts = np.array([len(values) for values in now])
    fewer = np.maximum(0.0, 1 / counts - 1 / levels.processes)  # processes than there used to be
    variance = levels.variance * (1 + MEDIAN_VARIANCE / levels.nights) + levels.within * fewer
    errors = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(errors > 0, changes / errors, np.sign(changes) * np.inf)
        scores = np.where((errors == 0) & (changes == 0), 0.0, scores)
    finite = scores[np.isfinite(scores)]
    widened = max(1.0, float(stats.iqr(finite, scale="normal"))) if many and len(finite) else 1.0
    found = _judged(changes, errors * widened, scores / widened, levels)
    seen = [one.detectable for one in found if one.detectable is not None]
    share = math.expm1(shift) if many else None
    return Night(
        {**dict(zip(names, found, strict=True)), **judged},
        share,
        share is not None and abs(share) >= SUITE_SHIFT,
        widened,
        float(np.median(seen)) if seen else None,
    )


def _settled(
    logs: Sequence[np.ndarray], names: Sequence[str], began_s: Times | None
) -> list[np.ndarray]:
    """A night's log medians, less what neighbours in time share where their times are known."""
    if began_s is None or any(
        len(began_s.get(name, ())) != len(values) for name, values in zip(names, logs, strict=True)
    ):
        return list(logs)
    there = [at for at, values in enumerate(logs) if len(values)]
    times = [np.asarray(began_s[names[at]], dtype=float) for at in there]
    settled = list(logs)
    for at, values in zip(there, without_common([logs[at] for at in there], times), strict=True):
        settled[at] = values
    return settled


def _levels(
    history: Sequence[Sequence[np.ndarray]],
    names: Sequence[str],
    began_s: Sequence[Times],
    many: bool,
) -> _Levels:
    """The level of each trial and how much a night's value varies about it."""
    depth = max(map(len, history))
    values = np.full((depth, len(history)), np.nan)
    squares, freedom, counts = (
        np.zeros(len(history)),
        np.zeros(len(history)),
        np.zeros(len(history)),
    )
    for back in range(1, depth + 1):  # the latest night is the last of each trial
        night = [nights[-back] if len(nights) >= back else np.empty(0) for nights in history]
        times = began_s[-back] if len(began_s) >= back else None
        for at, logs in enumerate(_settled(night, names, times)):
            if len(logs):
                values[depth - back, at] = np.median(logs)
                squares[at] += ((logs - logs.mean()) ** 2).sum()
                freedom[at] += len(logs) - 1
                counts[at] += len(logs)
    nights = (~np.isnan(values)).sum(axis=0)
    level, residuals = _polished(values, many)
    if depth >= CLIPPED_FROM:
        residuals = _clipped(residuals)
    within = _moderated(squares, freedom)[0]
    processes = counts / nights
    if (nights > 1).sum() > 1:
        between = np.nansum(residuals**2, axis=0)
        variance, own = _moderated(between, np.maximum(nights - 1.0, 0.0))
    else:  # one night only: what its processes say
        variance, own = within / processes, _moderated(squares, freedom)[1]
    return _Levels(level, variance, own, nights, within, processes)


def _polished(values: np.ndarray, many: bool) -> tuple[np.ndarray, np.ndarray]:
    """Level of each trial, and what is left; of many trials, less what each night did to all."""
    night = np.zeros(len(values))
    level = np.nanmedian(values, axis=0)
    for _ in range(POLISHES if many and len(values) > 1 else 0):
        night = np.nanmedian(values - level, axis=1)
        level = np.nanmedian(values - night[:, None], axis=0)
    return level, values - level - night[:, None]


def _clipped(residuals: np.ndarray) -> np.ndarray:
    """Single nights far off drawn in, as spikes say nothing of an ordinary night."""
    spread = stats.median_abs_deviation(residuals, axis=0, scale="normal", nan_policy="omit")
    far = np.where(spread > 0, FAR * spread, np.inf)
    drawn_in: np.ndarray = np.clip(residuals, -far, far)
    return drawn_in


def _moderated(squares: np.ndarray, freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances and their degrees of freedom; NaN where no trial tells anything."""
    known = freedom > 0
    if not known.any():
        return np.full(len(squares), math.nan), np.full(len(squares), math.nan)
    variance = np.zeros(len(squares))
    variance[known] = squares[known] / freedom[known]
    if known.sum() < MANY and known.all():
        return variance, freedom  # few trials stand for themselves
    return moderation(variance[known], freedom[known]).applied(variance, freedom)


def _judged(
    changes: np.ndarray, errors: np.ndarray, scores: np.ndarray, levels: _Levels
) -> list[Judged]:
    slower = stats.t.sf(scores, levels.freedom)
    regressions, improvements = (holm(p) < FAMILY for p in (slower, 1 - slower))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, levels.freedom) * errors
    at_most = changes + stats.t.ppf(SURE, levels.freedom) * errors
    detectable = np.expm1(found_from(levels.freedom) * errors)
    suspects = (slower < SUSPICION) & (changes >= math.log1p(SUSPECT))
    worst = set(np.argsort(np.where(suspects, slower, np.inf))[:MOST_SUSPECTS])
    found = []
    for at, change in enumerate(changes):
        if np.isnan(errors[at]):
            found.append(Judged("inconclusive", int(levels.nights[at]), math.exp(change)))
            continue
        enough = levels.nights[at] >= FEWEST_NIGHTS
        if enough and regressions[at] and change >= math.log1p(REGRESSION):
            verdict = "regression"
        elif suspects[at] and at in worst:
            verdict = "suspect"
        elif enough and improvements[at] and change <= math.log1p(-REGRESSION):
            verdict = "improvement"
        else:
            verdict = "pass" if at_most[at] < math.log1p(EXCLUDED) else "inconclusive"
        found.append(
            Judged(
                verdict,
                int(levels.nights[at]),
                math.exp(change),
                (math.exp(change - half[at]), math.exp(change + half[at])),
                float(slower[at]),
                float(detectable[at]),
            )
        )
    return found
