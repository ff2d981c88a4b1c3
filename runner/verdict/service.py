"""Flags of pipelines and of load: the generator, the queue, the tail, the phases."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from runner.contract import Level, TargetVerdict
from runner.statistics.quantiles import clustering, interval, samples_needed
from runner.verdict.flag import Case, Flag, in_proportion
from runner.verdict.samples import DECIDED, more_of

FULL_SHARE = 0.5  # of the queries in full batches, from which on these are what the service can do
DISTURBED = 0.25  # of a whole request, by which those between the phases may differ
PHASES_APART = 0.05  # of the whole, by which the sum of the phases may differ


def late_arrivals(case: Case) -> Iterator[Flag]:
    """Queries that idle instances began later than the schedule says."""
    late_ms = np.asarray(case.outcome.series.get("late_ms", ()), dtype=float)
    if case.trial.load.name != "server" or not len(late_ms):
        return
    latency_ms = np.asarray(case.outcome.latency_ms, dtype=float)
    everyone = np.concatenate([late_ms, np.zeros(max(0, len(latency_ms) - len(late_ms)))])
    p99_ms = float(np.quantile(everyone, 0.99))
    shares = (
        float(everyone.sum() / max(latency_ms.sum(), 1e-9)),
        p99_ms / max(float(np.quantile(latency_ms, 0.99)), 1e-9),
    )
    level = in_proportion(max(shares))
    if level != Level.NOTE:
        yield Flag(
            "LATE_ARRIVALS",
            level,
            max(shares),
            "% of the latency",
            f"queries began up to {p99_ms:.3g} ms (99 %) after their arrival while an instance was "
            f"idle: {max(shares):.1%} of the latency is the generator's",
            "stop other programs on this machine (see top), or lower load.rate",
        )


def overload(case: Case) -> Iterator[Flag]:
    """A queue that grows as long as queries come."""
    load, figures = case.trial.load, case.outcome.figures
    offered, unanswered = load.rate, figures.get("unanswered") or 0.0
    if offered is None:
        return
    able = _able(case)
    if not unanswered and (able is None or offered < able):
        return
    can = f", and at most {able:.3g} are answered" if able is not None else ""
    below = f"lower load.rate below {able:.3g}, or " if able is not None else "lower load.rate, or "
    left = f"; {unanswered:.0f} were never answered" if unanswered else ""
    yield Flag(
        "OVERLOAD",
        Level.INVALID,
        offered / able if able else None,
        "% of what the service can answer" if able else "",
        f"{offered:.3g} queries come a second{can}: the queue grows as long as they come, "
        f"{figures.get('waiting_end') or 0:.0f} were waiting at the end{left}; the latency is that "
        "of the run's length",
        f"{below}raise load.max_batch or load.instances",
    )


def _able(case: Case) -> float | None:
    """Queries a second that all instances can answer; None if they were never pressed."""
    load, series = case.trial.load, case.outcome.series
    sizes = np.asarray(series.get("batch_queries", ()), dtype=float)
    service_ms = np.asarray(series.get("service_ms", ()), dtype=float)
    full = sizes == load.max_batch
    if not full.any() or sizes[full].sum() < FULL_SHARE * sizes.sum():
        return None
    mean_ms = float(service_ms[full].mean())
    return 1000 * load.instances * load.max_batch / mean_ms if mean_ms > 0 else None


def few_queries(case: Case) -> Iterator[Flag]:
    """A tail whose queries are too few, or come in too few clusters."""
    load = case.trial.load
    if load.name not in ("server", "single_stream"):
        return
    q, latency_ms = load.percentile / 100, np.asarray(case.outcome.latency_ms)
    tau = clustering(latency_ms, latency_ms > np.quantile(latency_ms, q))
    enough = len(latency_ms) >= samples_needed(q) and interval(latency_ms, q, tau) is not None
    if enough:
        return
    target, n = case.outcome.effective.get("target"), len(case.outcome.latency_ms)
    decided = target in DECIDED
    needed = max(math.ceil(1.2 * samples_needed(q) * tau), n + 1)
    clusters = f", whose long waits come in clusters of {tau:.0f}," if tau >= 2 else ""
    yield Flag(
        "FEW_QUERIES",
        Level.NOTE if decided else Level.SUSPECT,
        n,
        "queries",
        f"{_queries(n)}{clusters} {'is' if n == 1 else 'are'} too few for an interval of the "
        f"p{load.percentile:g}"
        + (f", but enough to see that the target is {target}" if decided else ""),
        more_of(case, f"{needed} or so"),
        needed,
    )


def _queries(number: int) -> str:
    return "1 query" if number == 1 else f"{number} queries"


def undecided(case: Case) -> Iterator[Flag]:
    """A target that the queries neither meet nor miss."""
    load, effective = case.trial.load, case.outcome.effective
    if load.target_ms is None or effective.get("target") != TargetVerdict.UNDECIDED:
        return
    over, n = case.outcome.figures.get("target_over") or 0.0, len(case.outcome.latency_ms)
    yield Flag(
        "TARGET_UNDECIDED",
        Level.NOTE,
        over / n if n else None,
        "% over the target",
        f"{over:.0f} of {n} queries took longer than load.target_ms={load.target_ms:g}, which "
        f"neither shows nor excludes a p{load.percentile:g} below it",
        "raise load.queries",
    )


def phases(case: Case) -> Iterator[Flag]:
    """A whole that differs from the sum of its phases."""
    figures = case.outcome.figures
    total_ms, whole_ms = figures.get("phases_sum_ms"), figures.get("whole_ms")
    if not total_ms or not whole_ms:
        return
    share, level = total_ms / whole_ms - 1, Level.NOTE
    pipeline, timed_ms = case.trial.pipeline, case.summary.p50_ms
    alone = not (pipeline.overlap or case.trial.is_load)
    if alone and timed_ms and abs(whole_ms / timed_ms - 1) > DISTURBED:
        share, level = whole_ms / timed_ms - 1, Level.SUSPECT
        found = (
            f"whole requests took {whole_ms:.4g} ms while the phases were timed, and "
            f"{timed_ms:.4g} ms before: something disturbed one of the two"
        )
        remedy = "stop other programs on this machine (see top), and run it again"
    elif pipeline.overlap:
        every_ms = timed_ms or whole_ms
        share = total_ms / every_ms - 1
        found = (
            f"a batch ends every {every_ms:.4g} ms while workers prepare the next; a single "
            f"request takes {total_ms:.4g} ms, phase by phase"
        )
        remedy = "use pipeline.overlap=false for the latency of a request"
    elif abs(share) > PHASES_APART:
        found = f"the phases one by one take {total_ms:.4g} ms, the whole request {whole_ms:.4g} ms"
        remedy = "the whole is what a request takes; waiting after each phase has its own cost"
    else:
        return
    yield Flag("PHASES", level, share, "+% of the whole", found, remedy)


RULES = (late_arrivals, overload, few_queries, undecided, phases)
