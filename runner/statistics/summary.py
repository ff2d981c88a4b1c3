"""The summary of one trial's samples: every figure with its interval, or null with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from runner.statistics.quantiles import (
    TAILS,
    clustering,
    correlation_time,
    interval,
    mean_interval,
    samples_needed,
)
from runner.statistics.shape import outliers, spread

QUANTILES = {
    **{"p25": 0.25, "p50": 0.5, "p75": 0.75},
    **{"p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999},
}
SPREADS = ("std_ms", "mad_ms", "cv")
NO_LATENCY = "pipelined passes overlap, so their times are not latencies; see img_s"


@dataclass(frozen=True)
class Summary:
    """The statistics of one trial's samples, in milliseconds; null if they can't support a figure.

    `ci_ms` holds the 95 % interval of each quantile and of the mean, within this process;
    `why_null` the reason for everything that is null. `fps` is closed-loop, as in the article:
    1000 * batch size / mean latency; `img_s` the throughput of passes that follow each other
    without waiting. `first_ms` is the very first call, warm-up included, `cold_start_ms` what
    it cost beyond the median. `outliers` are counted, never deleted. `inner` passes made one
    sample. `tau` is the correlation time in samples.
    """

    n: int
    inner: int
    min_ms: float | None
    p25_ms: float | None
    p50_ms: float | None
    p75_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    mean_ms: float | None
    std_ms: float | None
    mad_ms: float | None
    cv: float | None
    tau: float
    outliers: int
    first_ms: float
    cold_start_ms: float
    fps: float | None
    img_s: float | None
    p999_ms: float | None = None
    ci_ms: dict[str, list[float] | None] = field(default_factory=dict)
    why_null: dict[str, str] = field(default_factory=dict)


def summarize(
    latency_ms: Sequence[float],
    batch_size: int,
    warmup_ms: Sequence[float] = (),
    *,
    inner: int = 1,
    pipelined_ms: float | None = None,
    queued: bool = False,
) -> Summary:
    """Summarize timed samples in run order; `warmup_ms` only tells which call came first.

    With `inner` passes per sample there are no quantiles, as a sample is a mean already.
    `pipelined_ms`, the time for a pass by the synced clock, says that the samples overlap and
    are no latencies; `queued` that they are those of a queue, to which queries come at their own
    rate: long ones come in clusters, and no FPS follows from their mean.
    Raises ValueError without samples.
    """
    if not len(latency_ms):
        raise ValueError("no samples to summarize")
    values = np.asarray(latency_ms, dtype=float)
    first_ms = float((*warmup_ms[:1], *latency_ms[:1])[0])
    figures, why_null = _moments(values, batch_size)
    intervals = {"mean": mean_interval(values)}
    for name, q in QUANTILES.items():
        if q in TAILS and len(values) < samples_needed(q):
            figures[f"{name}_ms"] = None
            needed = f"a p{100 * q:g} needs {samples_needed(q)}"
            why_null[f"{name}_ms"] = f"{len(values)} samples; {needed}"
        else:
            figures[f"{name}_ms"] = at = float(np.quantile(values, q))
            of_tail = clustering(values, values > at) if queued else None
            intervals[name] = interval(values, q, of_tail)
    figures["img_s"] = 1000 * batch_size / pipelined_ms if pipelined_ms else None
    untold: dict[str, str] = {}  # figures that samples of several or overlapping passes don't have
    if inner > 1:
        names = ["min_ms", *(f"{name}_ms" for name in QUANTILES), "max_ms", *SPREADS]
        untold = dict.fromkeys(names, f"a sample is the mean of {inner} passes; see mean_ms")
        intervals = {"mean": intervals["mean"]}
    if pipelined_ms:
        untold = dict.fromkeys((name for name in figures if name != "img_s"), NO_LATENCY)
        intervals = {}
    else:
        untold["img_s"] = "measured by timing.method=pipelined"
    if queued:
        untold["fps"] = "queries come at their own rate; see figures.answered_qps"
    why_null |= untold
    for name, bounds in intervals.items():
        if bounds is None:
            why_null[f"ci_ms.{name}"] = "too few independent samples for an interval"
    return Summary(
        n=len(values),
        inner=inner,
        tau=clustering(values) if queued else correlation_time(values),
        outliers=outliers(values),
        first_ms=first_ms,
        cold_start_ms=first_ms - float(np.median(values)),
        ci_ms={name: list(bounds) if bounds else None for name, bounds in intervals.items()},
        why_null=why_null,
        **(figures | dict.fromkeys(untold)),
    )


def _moments(values: np.ndarray, batch_size: int) -> tuple[dict[str, float | None], dict[str, str]]:
    """Figures of all samples together, and why some are null."""
    several, mean = len(values) > 1, float(values.mean())
    deviation = float(values.std(ddof=1)) if several else None
    figures: dict[str, float | None] = {
        "min_ms": float(values.min()),
        "max_ms": float(values.max()),
        "mean_ms": mean,
        "std_ms": deviation,
        "mad_ms": spread(values) if several else None,
        "cv": deviation / mean if deviation is not None and mean > 0 else None,
        "fps": 1000 * batch_size / mean if mean > 0 else None,
    }
    return figures, {} if several else dict.fromkeys(SPREADS, "one sample has no spread")
