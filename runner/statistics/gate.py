"""The nightly gate: whether a trial has become slower tonight than in the nights before.

    from runner.statistics.gate import judge
    night = judge(history, tonight)

`history` has for each trial its nights, the latest last, each a list of processes, each the
samples of one process in milliseconds; `tonight` the same for one night. A night without the trial
is an empty list. The unit is the process and its value the logarithm of its median; a night's
value is Huber's estimate of theirs, because single processes may be spikes. Nights x trials are
polished into the level of each trial and the effect of each night; the variance from night to
night is moderated over trials.
Sources: Huber, 1964; Tukey, 1977 (median polish); Smyth, 2004 (moderation); Holm, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from runner.contract import GateVerdict
from runner.statistics.aligned import aligned, processes_of
from runner.statistics.difference import (
    POWER,
    SUITE,
    SUITE_SHIFT,
    holm,
    moderation,
)
from runner.statistics.location import MIN_SPREAD, drawn_in, huber, median, of_most, spread_between
from runner.statistics.quantiles import CONFIDENCE

REGRESSION, SUSPECT = 0.02, 0.012  # changes that matter
# so that at most 0.5 % of simulated nights without a change have a regression; the variance of
# each of few trials is known less well than Student's t assumes
FAMILY, FAMILY_OF_FEW = 0.0035, 0.001
FEW = 20
SUSPICION = 0.05
DOUBT = 0.2  # of p, below which an inconclusive trial is worth timing again
CONFIRMED = (GateVerdict.REGRESSION, GateVerdict.SUSPECT)  # by duets, before they are reported
OF_FEW_NIGHTS = 1.2  # correction of their spread, divided by their number
QUESTION = 0.02  # probability of such a shift of all trials, judged by the nights before
MIN_MOVE = 0.002  # least standard deviation of nights, which a few of them may underestimate
MAX_SUSPECTS = 10
MIN_NIGHTS = 4  # needed to report a regression
EXCLUDED = 0.05  # the slowdown that a pass excludes
SURE = 0.995  # confidence of that
LEVEL_VARIANCE = 1.1  # of Huber's estimate, in units of a mean's
CLIPPED_FROM = 6  # nights from which on single outlying ones are drawn in
FAR = 3.5  # robust standard deviations
ALSO_SLOW = 0.9  # a time that a tenth of earlier processes exceeded is not a regression
CHANCE = 0.7  # excess of the spread of few scores over 1, times the root of their number
POLISHES = 10

Samples = Sequence[float] | np.ndarray
Processes = Sequence[Samples]
Times = Mapping[str, Sequence[float]]  # of each trial, when each of its processes began


@dataclass(frozen=True)
class TrialVerdict:
    """One trial: `ratio` is tonight's time over its level, `ci` the 95 % interval, `p` one-sided.

    `detectable` is the slowdown, as a share, that such a night detects in 4 of 5 cases, `nights`
    the number it was judged by; `before_ms` is the level and `tonight_ms` tonight's time, with what
    the night did to all trials. Verdicts: regression, suspect, pass, improvement, inconclusive,
    no_baseline (no night before), missing (none tonight); the last two have no figures.
    """

    verdict: GateVerdict
    nights: int = 0
    ratio: float | None = None
    ci: tuple[float, float] | None = None
    p: float | None = None
    detectable: float | None = None
    before_ms: float | None = None
    tonight_ms: float | None = None


@dataclass(frozen=True)
class NightVerdict:
    """All trials, and the night's health.

    `shift` is tonight's effect on all trials, as a share; with 6 trials or more it has been removed
    from the ratios. It is a `question` of its own, machine or software, if earlier nights
    have not shifted all trials so far, or from 1.5 % on if there are fewer than 4 of them.
    Intervals were `widened` by as much as trials varied more than between nights.
    """

    trials: dict[str, TrialVerdict]
    shift: float | None
    question: bool
    widened: float
    detectable: float | None


def to_confirm(trials: Mapping[str, TrialVerdict]) -> list[str]:
    """The trials that are worth timing again: regressions, suspects, and doubtful ones.

    Doubtful are inconclusive trials that may well be slower. On a noisy machine half of the 5 %
    slowdowns of a small suite are among them; they only fill up MAX_SUSPECTS.
    """
    asked = [name for name, one in trials.items() if one.verdict in CONFIRMED]
    doubtful = sorted(
        (one.p, name)
        for name, one in trials.items()
        if one.verdict == GateVerdict.INCONCLUSIVE
        and one.p is not None
        and one.ratio is not None
        and one.p < DOUBT
        and one.ratio >= 1 + SUSPECT
    )
    room = max(0, MAX_SUSPECTS - len(asked))
    return [*asked, *(name for _, name in doubtful[:room])]


@dataclass(frozen=True)
class _Levels:
    """By trial: level, variance of a night's value, its degrees of freedom, nights of the level."""

    level: np.ndarray
    variance: np.ndarray
    freedom: np.ndarray
    nights: np.ndarray
    usual: (
        np.ndarray
    )  # by trial: changes that a tenth of former processes exceed, downwards and upwards
    moves: np.ndarray  # by night: its effect on all trials


def judge(
    history: Mapping[str, Sequence[Processes]],
    tonight: Mapping[str, Processes],
    *,
    began_s: Sequence[Times] | None = None,
    tonight_began_s: Times | None = None,
    segments: Mapping[str, Sequence[int]] | None = None,
) -> NightVerdict:
    """Judge tonight by the nights before.

    `began_s`, one mapping a night, the latest last, and `tonight_began_s` say when each process
    began, if known: what neighbours in time share is then removed. `segments` has for
    each night of a trial how many changes of its level (a driver, an accepted change) lie between
    then and tonight: nights with 0 give the level, all of them its variance.
    Raises ValueError for a process without samples or with one that is not above 0.
    """
    logs = {name: [_logs(night) for night in nights] for name, nights in history.items()}
    return judge_logs(
        logs,
        {name: _logs(processes) for name, processes in tonight.items()},
        began_s=list(began_s or ()),
        tonight_began_s=tonight_began_s,
        segments=segments,
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
    segments: Mapping[str, Sequence[int]] | None = None,
) -> NightVerdict:
    """Judge by the logarithms of the processes' medians, which is all the gate needs."""
    ago = {name: (segments or {}).get(name, [0] * len(nights)) for name, nights in history.items()}
    known = [name for name, nights in history.items() if any(map(len, nights))]
    missing = [name for name in known if not len(tonight.get(name, ()))]
    judged = {name: TrialVerdict(GateVerdict.MISSING) for name in missing}
    names = [
        name
        for name in known
        if name not in judged
        and any(
            len(night) and not back for night, back in zip(history[name], ago[name], strict=True)
        )
    ]
    new = [name for name in tonight if name not in (*names, *judged)]
    judged |= {name: TrialVerdict(GateVerdict.NO_BASELINE) for name in new}
    if not names:
        return NightVerdict(judged, None, False, 1.0, None)
    many = len(names) >= SUITE
    processes = processes_of(
        [history[name] for name in names],
        [tonight[name] for name in names],
        [
            None if times is None else [times.get(name, ()) for name in names]
            for times in (*began_s, tonight_began_s)
        ],
    )
    spread = spread_between(processes, many)
    values = huber(processes, np.broadcast_to(spread, processes.shape[:2]))
    levels = _levels(values[:-1], aligned([ago[name] for name in names]), processes, many)
    changes = values[-1] - levels.level
    shift = of_most(changes)[0] if many else 0.0
    changes = changes - shift
    off = processes[-1] - values[-1, :, None]
    errors = _errors(levels, spread, (~np.isnan(processes)).sum(axis=-1), off)
    widened = _widened(changes, errors.both) if many else 1.0
    found = [
        replace(one, before_ms=math.exp(level), tonight_ms=math.exp(value))
        for one, level, value in zip(
            _judged(changes, errors.times(widened), levels), levels.level, values[-1], strict=True
        )
    ]
    seen = [one.detectable for one in found if one.detectable is not None]
    share = math.expm1(shift) if many else None
    return NightVerdict(
        {**dict(zip(names, found, strict=True)), **judged},
        share,
        many and _is_question(shift, levels.moves),
        widened,
        float(np.median(seen)) if seen else None,
    )


def _is_question(shift: float, moves: np.ndarray) -> bool:
    """Whether tonight shifted all trials by more than earlier nights did.

    With few nights, or below what matters, a fixed threshold decides.
    """
    known = moves[~np.isnan(moves)]
    if len(known) < MIN_NIGHTS:
        return abs(math.expm1(shift)) >= SUITE_SHIFT
    spread = float(stats.median_abs_deviation(known, scale="normal"))
    deviation = max(spread * (1 + OF_FEW_NIGHTS / len(known)), MIN_MOVE)
    score = abs(shift - float(np.median(known))) / (deviation * math.sqrt(1 + 1 / len(known)))
    return bool(2 * stats.t.sf(score, len(known) - 1) < QUESTION)


@dataclass(frozen=True)
class _Errors:
    """Standard errors of tonight's changes: two-sided, and for being `slower`."""

    both: np.ndarray
    slower: np.ndarray

    def times(self, factor: float) -> _Errors:
        """All of them larger."""
        return _Errors(self.both * factor, self.slower * factor)


def _widened(changes: np.ndarray, errors: np.ndarray) -> float:
    """By how much errors are too small, estimated from most trials of a suite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = changes / errors
    finite = scores[np.isfinite(scores)]
    if len(finite) < 2:
        return 1.0
    return max(1.0, of_most(finite)[1] / (1 + CHANCE / math.sqrt(len(finite))))


def _errors(levels: _Levels, spread: np.ndarray, counts: np.ndarray, off: np.ndarray) -> _Errors:
    """Errors of tonight's changes; `counts` are the processes of each night, tonight's last.

    `off` is how far tonight's processes are from their common value. One that is far slower may be
    a spike; if a second is as far, it is unknown which are the spikes. Spikes are slow:
    one that is far faster may be the only one that was not slowed, and the only sign that the
    others do not represent the trial.
    """
    off = np.nan_to_num(off)
    ordinary = levels.variance * (1 + LEVEL_VARIANCE / levels.nights)
    usual = counts[:-1].sum(axis=0) / (counts[:-1] > 0).sum(axis=0)
    ordinary = ordinary + spread**2 * np.maximum(0.0, 1 / counts[-1] - 1 / usual)
    second = np.sort(abs(off), axis=-1)[:, -2] if off.shape[1] > 1 else 0 * spread
    faster = -off.min(axis=-1)
    found = []
    for doubt in (np.maximum(second, faster), faster):
        doubt = np.where(doubt > FAR * spread, doubt, 0.0)
        found.append(np.sqrt(ordinary + doubt**2 / counts[-1]))
    return _Errors(*found)


def _levels(values: np.ndarray, labels: np.ndarray, processes: np.ndarray, many: bool) -> _Levels:
    """The level of each trial, and the variance of a night's `values` about it."""
    level, residuals, moves = _polished(values, labels, many)
    single = processes[:-1] - (values - residuals)[..., None]
    by_trial = np.moveaxis(single, 1, 0).reshape(len(level), -1)
    usual = np.nanquantile(by_trial, [1 - ALSO_SLOW, ALSO_SLOW], axis=-1)
    if len(values) >= CLIPPED_FROM:
        residuals = drawn_in(residuals, FAR)
    there = ~np.isnan(values)
    own = [((labels == label) & there).any(axis=0) for label in np.unique(labels)]
    freedom = there.sum(axis=0) - np.sum(own, axis=0).astype(float)
    nights = (there & (labels == 0)).sum(axis=0)
    if (freedom > 0).any():
        between = _moderated(np.nansum(residuals**2, axis=0), freedom)
        return _Levels(level, *between, nights, usual, moves)
    # one night only: from its processes
    means = np.nansum(processes, axis=-1) / np.maximum(1, (~np.isnan(processes)).sum(axis=-1))
    squares = np.nansum((processes - means[..., None]) ** 2, axis=(0, 2))
    counts = (~np.isnan(processes)).sum(axis=-1)
    variance, freedom = _moderated(squares, np.maximum(counts - 1.0, 0.0).sum(axis=0))
    return _Levels(level, variance / counts[:-1].sum(axis=0), freedom, nights, usual, moves)


def _polished(
    values: np.ndarray, labels: np.ndarray, many: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The level of each trial, the residuals, and the effect of each night on all.

    With few trials, nights have no common effect.
    """
    settled, own = values, np.zeros_like(values)
    for _ in range(POLISHES if many and len(values) > 1 else 1):
        levels = [
            median(np.where(labels == label, settled, np.nan), axis=0)
            for label in range(labels.max() + 1)
        ]
        own = np.take_along_axis(np.array(levels), labels, axis=0)
        if many and len(values) > 1:
            settled = values - np.nan_to_num(median(values - own, axis=1))[:, None]
    spread = stats.median_abs_deviation(settled - own, axis=0, scale="normal", nan_policy="omit")
    least = MIN_SPREAD * float(np.median(spread)) if many else 0.0
    current = np.where(labels == 0, settled, np.nan)
    level = huber(current.T, np.maximum(spread, max(least, np.finfo(float).tiny)))
    moves = median(values - settled, axis=1)  # the same of all trials of a night
    return level, settled - np.where(labels == 0, level, own), moves


def _moderated(squares: np.ndarray, freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances and their degrees of freedom; NaN if no trial determines them."""
    known = freedom > 0
    if not known.any():
        return np.full(len(squares), math.nan), np.full(len(squares), math.nan)
    variance = np.zeros(len(squares))
    variance[known] = squares[known] / freedom[known]
    if known.sum() < SUITE:  # few trials are judged on their own
        variance[~known] = variance[known].mean()
        return variance, np.where(known, freedom, freedom[known].min())
    return moderation(variance[known], freedom[known]).applied(variance, freedom)


def _judged(changes: np.ndarray, doubts: _Errors, levels: _Levels) -> list[TrialVerdict]:
    errors = doubts.both
    with np.errstate(divide="ignore", invalid="ignore"):
        scores, slow = (
            np.where(one > 0, changes / one, np.where(changes == 0, 0.0, np.sign(changes) * np.inf))
            for one in (errors, doubts.slower)
        )
    slower, faster = stats.t.sf(slow, levels.freedom), stats.t.cdf(scores, levels.freedom)
    family = FAMILY if len(changes) >= FEW else FAMILY_OF_FEW
    regressions, improvements = (holm(p) < family for p in (slower, faster))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, levels.freedom) * errors
    at_most = changes + stats.t.ppf(SURE, levels.freedom) * errors
    called = stats.t.ppf(1 - family / len(changes), levels.freedom) * doubts.slower
    least = np.maximum(math.log1p(REGRESSION), levels.usual[1])
    sure = stats.t.ppf(POWER, levels.freedom) * doubts.slower
    detectable = np.expm1(np.maximum(called, least) + sure)
    enough = levels.nights >= MIN_NIGHTS
    regressions = regressions & enough & (changes >= least)
    suspects = (slower < SUSPICION) & (changes >= math.log1p(SUSPECT)) & ~regressions
    worst = set(np.argsort(np.where(suspects, slower, np.inf))[:MAX_SUSPECTS])
    found = []
    for at, change in enumerate(changes):
        if np.isnan(errors[at]):
            found.append(
                TrialVerdict(GateVerdict.INCONCLUSIVE, int(levels.nights[at]), math.exp(change))
            )
            continue
        low = levels.usual[0, at]
        if regressions[at]:
            verdict = GateVerdict.REGRESSION
        elif suspects[at]:  # beyond the worst ones a trial is undecided, never a pass
            verdict = GateVerdict.SUSPECT if at in worst else GateVerdict.INCONCLUSIVE
        elif enough[at] and improvements[at] and change <= min(math.log1p(-REGRESSION), low):
            verdict = GateVerdict.IMPROVEMENT
        else:
            verdict = (
                GateVerdict.PASS if at_most[at] < math.log1p(EXCLUDED) else GateVerdict.INCONCLUSIVE
            )
        found.append(
            TrialVerdict(
                verdict,
                int(levels.nights[at]),
                math.exp(change),
                (math.exp(change - half[at]), math.exp(change + half[at])),
                float(slower[at]),
                float(detectable[at]),
            )
        )
    return found
