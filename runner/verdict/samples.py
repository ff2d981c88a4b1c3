"""Flags of the samples: clocks, warm-up, drift, noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from runner.contract import Level, TargetVerdict, counted
from runner.statistics.quantiles import half_width
from runner.statistics.shape import MIN_FOR_SHAPE
from runner.verdict.flag import Case, Flag, in_proportion

DECIDED = (TargetVerdict.MET, TargetVerdict.MISSED)  # enough queries for their question
NOISE_LIMIT = 0.02  # relative half-width of the median's interval, unless timing.target is set
MAX_MORE = 20  # times the iterations: more is not advised
HIDDEN_SHARE, HIDDEN_MS = 0.05, 0.05  # of a pass, and at least; less is the barrier itself
SHORTEST_SAMPLE_MS = 0.1
MIN_FOR_MEDIAN = 8  # independent samples whose extremes bound the median
LAUNCH_SHARE, GAPS = 0.8, 1.05  # of a queued pass; above, the device waits for the host


def side_stream(case: Case) -> Iterator[Flag]:
    """Work on a stream that the method's events do not cover."""
    hidden_ms = case.outcome.figures.get("hidden_device_ms") or 0.0
    pass_ms = float(np.median(case.outcome.latency_ms)) * case.inner
    if case.method.by_events and hidden_ms > max(HIDDEN_MS, HIDDEN_SHARE * pass_ms):
        yield Flag(
            "NO_SYNC",
            Level.INVALID,
            hidden_ms,
            "ms of device work not timed",
            f"{hidden_ms:.2f} ms of device work was still running after the last event: the "
            "network uses another stream, which the events do not cover",
            "use timing.method=wall",
        )


def unsynchronized(case: Case) -> Iterator[Flag]:
    """A clock that stops before the device has finished."""
    if case.synchronized:
        return
    figures = case.outcome.figures
    hidden_ms, bias = figures.get("hidden_device_ms") or 0.0, ""
    # without a warm-up the clock around the timed part includes the cold start
    true_ms = figures.get("synced_ms" if case.trial.timing.warmup else "event_ms")
    if true_ms and case.summary.mean_ms is not None:
        wrong = f"{case.summary.mean_ms / true_ms - 1:+.0%}"
        met = wrong in ("+0%", "-0%")
        bias = f"; a warm pass takes {true_ms:.2f} ms, which " + (
            "this mean matches by chance" if met else f"makes this mean wrong by {wrong}"
        )
    yield Flag(
        "NO_SYNC",
        Level.INVALID,
        hidden_ms,
        "ms of device work not timed",
        f"not synchronized: {hidden_ms:.2f} ms of device work was still running when the last "
        f"call returned{bias}",
        "use timing.method=event",
    )


def not_finite(case: Case) -> Iterator[Flag]:
    """An output with NaN or infinity."""
    if case.outcome.effective.get("finite") is False:
        yield Flag(
            "NOT_FINITE",
            Level.INVALID,
            None,
            "",
            "the output contains NaN or infinity, for which a device may be faster or slower than "
            "for real data",
            "check the network, its weights and input.fill",
        )


def training_mode(case: Case) -> Iterator[Flag]:
    """A network that went back into training mode."""
    if case.outcome.effective.get("eval") is False:
        yield Flag(
            "TRAINING_MODE",
            Level.INVALID,
            None,
            "",
            "a part of the network was in training mode after the timing, in which dropout and "
            "batch norm behave differently",
            "its forward must not call train()",
        )


def not_converged(case: Case) -> Iterator[Flag]:
    """An adaptive run that did not reach its target."""
    if case.outcome.effective.get("converged") is False:
        n = len(case.outcome.latency_ms)
        yield Flag(
            "NOT_CONVERGED",
            Level.SUSPECT,
            n,
            "samples",
            f"stopped after {n} samples, before reaching timing.target",
            "raise timing.iterations or timing.max_seconds, or use a quieter machine",
        )


def no_warmup(case: Case) -> Iterator[Flag]:
    """The cold start among the samples."""
    if case.trial.timing.warmup:
        return
    first_ms, *others = case.timed_ms
    median = float(np.median(case.timed_ms))
    # the first pass alone; slow passes after it are WARMUP_SHORT's
    bias = float(np.mean(case.timed_ms) / np.mean(others) - 1) if others else 0.0
    yield Flag(
        "NO_WARMUP",
        in_proportion(bias),
        bias,
        "+% on the mean",
        f"no warm-up: the first iteration took {first_ms:.2f} ms against a median of "
        f"{median:.2f} ms, which changes the mean by {bias:+.1%}",
        "raise timing.warmup",
    )


def warmup_short(case: Case) -> Iterator[Flag]:
    """Samples from before the latency had settled."""
    slow = case.shape.slow_start if case.synchronized else None
    if slow is None:
        return  # unsynchronized times change when the launch queue fills up, not with the device
    before = case.trial.timing.warmup - len(case.warmup_samples)
    enough = before + slow.enough * case.inner
    yield Flag(
        "WARMUP_SHORT",
        in_proportion(max(slow.bias, slow.median_bias, key=abs)),
        slow.bias,
        "+% on the mean",
        "the latency had not settled when the warm-up ended, which changes the mean by "
        f"{slow.bias:+.1%}",
        f"timing.warmup={enough} would have sufficed",
        enough,
    )


def drift(case: Case) -> Iterator[Flag]:
    """A trend over the whole run."""
    change = case.shape.drift if case.synchronized else None
    if change is not None:
        sure = case.shape.sure_drift
        yield Flag(
            "DRIFT",
            Level.SUSPECT if sure else Level.NOTE,
            change,
            "+% from the first sample to the last",
            f"the latency drifts by {change:+.1%} from the first sample to the last"
            + ("" if sure else ", which long-lasting noise can also do by chance"),
            "let the device reach a steady temperature, or lock its clocks",
        )


def bimodal(case: Case) -> Iterator[Flag]:
    """Two clusters of latencies, and their order in time."""
    modes, slow, latency_ms = case.shape.modes, case.shape.slow_start, case.timed_ms
    if modes is None or not case.synchronized:
        return
    settled = slow.enough - len(case.warmup_samples) if slow else 0
    low_ms, high_ms, share = modes.low_ms, modes.high_ms, modes.minority
    slow_share = float(np.mean(np.asarray(latency_ms) > (low_ms + high_ms) / 2))
    usual_ms = high_ms if slow_share > 0.5 else low_ms
    found = (
        f"two clusters of latencies, {low_ms:.4g} and {high_ms:.4g} ms ({share:.0%} in the "
        "smaller one): no single figure describes both"
    )
    if modes.changed_at is None:
        remedy = "check for changing clocks, other processes or two kinds of inputs"
    else:
        found += f"; from timed sample {settled + modes.changed_at + 1} on it was the "
        if modes.slower_later:
            found += "slower one: the clocks fell or another process started"
            remedy = "check temperature and clocks, and measure again"
        else:
            found += "faster one"
            remedy = "warm up longer, unless another process ended there"
    figures = float(np.mean(latency_ms)), float(np.median(latency_ms))
    effect = max((figure / usual_ms - 1 for figure in figures), key=abs) if usual_ms else 0.0
    level = in_proportion(effect)
    yield Flag("BIMODAL", level, share, "% in the smaller cluster", found, remedy)


def too_short(case: Case) -> Iterator[Flag]:
    """Samples so short that the clock's own cost matters."""
    sample_ms = float(np.median(case.timed_ms))
    alone = case.inner == 1 and not case.trial.is_load
    if case.synchronized and alone and sample_ms < SHORTEST_SAMPLE_MS:
        yield Flag(
            "TOO_SHORT",
            Level.SUSPECT,
            sample_ms,
            "ms a sample",
            "samples are shorter than 0.1 ms, so the clock's own cost matters",
            "use timing.inner=100",
        )


def more_of(case: Case, needed: int | str) -> str:
    """The remedy for too few samples: more iterations or queries, or more time."""
    timing, n = case.trial.timing, len(case.outcome.latency_ms)
    if timing.target is None and timing.max_seconds is not None and n < case.trial.samples:
        return f"raise timing.max_seconds={timing.max_seconds:g}, which cut the run short"
    return f"{'load.queries' if case.trial.is_load else 'timing.iterations'}={needed}"


def _few(number: int) -> str:
    return f"{counted(number, 'sample')} {'is' if number == 1 else 'are'} too few"


def few_samples(case: Case) -> Iterator[Flag]:
    """Too few samples for the other checks."""
    n = len(case.timed_ms)
    if case.outcome.effective.get("target") in DECIDED:
        return  # they were enough for the question
    if n < MIN_FOR_SHAPE:
        yield Flag(
            "FEW_SAMPLES",
            Level.SUSPECT,
            n,
            "samples",
            f"{_few(n)} to detect a drift or two modes",
            more_of(case, f"{MIN_FOR_SHAPE} or more"),
        )


def noisy(case: Case) -> Iterator[Flag]:
    """A median with a wide interval."""
    if case.trial.load.name == "server":
        return  # its latency is that of the queue
    n, limit = len(case.timed_ms), case.trial.timing.target or NOISE_LIMIT
    width = half_width(case.timed_ms)
    if width is None:
        yield Flag(
            "NOISY",
            Level.SUSPECT,
            None,
            "",
            f"{_few(n)} for an interval of the median"
            if n < MIN_FOR_MEDIAN
            else "the samples are too correlated for an interval of the median",
            f"{more_of(case, f'{MIN_FOR_SHAPE} or more')}, or use a quieter machine",
        )
    elif width > limit:
        needed = max(math.ceil(n * (width / limit) ** 2), MIN_FOR_SHAPE)
        feasible = needed < MAX_MORE * n
        more = f"{more_of(case, f'{needed} or so')}, or " if feasible else ""
        yield Flag(
            "NOISY",
            Level.SUSPECT,
            width,
            f"% around the median (limit {limit:.1%})",
            f"the median is only known to +-{width:.1%} (limit {limit:.1%})",
            f"{more}use a quieter machine",
            needed,
        )


def host_bound(case: Case) -> Iterator[Flag]:
    """A device that waits for the host's launches, from the launch probe."""
    names = ("enqueue_ms", "event_ms", "queued_ms")
    enqueue_ms, event_ms, queued_ms = (case.outcome.figures.get(name) for name in names)
    if not queued_ms or enqueue_ms is None or event_ms is None:
        return
    launch, gaps = enqueue_ms / queued_ms, event_ms / queued_ms
    if launch <= LAUNCH_SHARE and gaps <= GAPS:
        return
    seen = (
        f"is launched in {enqueue_ms:.3g} ms and runs for {queued_ms:.3g}"
        if launch > LAUNCH_SHARE
        else f"takes {event_ms:.3g} ms alone and {queued_ms:.3g} behind other work"
    )
    yield Flag(
        "HOST_BOUND",
        # the gaps are part of the latency of one isolated request
        Level.SUSPECT if case.method.isolated else Level.NOTE,
        launch,
        "% of the pass to launch it",
        f"the device waits for the host: a pass {seen}; "
        "the number describes the CPU as much as the GPU",
        "use timing.method=queued for the device's own time, or a larger batch or "
        "timing.method=graph to remove the gaps",
    )


RULES = (
    side_stream,
    unsynchronized,
    not_finite,
    training_mode,
    not_converged,
    no_warmup,
    warmup_short,
    drift,
    bimodal,
    too_short,
    few_samples,
    noisy,
    host_bound,
)
