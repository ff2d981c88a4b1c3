"""Summaries of samples: pure functions of lists of milliseconds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# fewest samples from which a one-sided 95 % bound of the quantile exists: 1 - q^n >= 0.95
SAMPLES_FOR_P90 = 29
SAMPLES_FOR_P95 = 59
SAMPLES_FOR_P99 = 299


@dataclass(frozen=True)
class Summary:
    """What the samples of one trial say, in milliseconds; null where they can't say it.

    `fps` is closed-loop, as in the article: 1000 * batch size / mean latency.
    `cold_start_ms` is what the very first call, warm-up included, cost beyond the median.
    """

    n: int
    min_ms: float
    p25_ms: float
    p50_ms: float
    p75_ms: float
    mean_ms: float
    std_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float
    first_ms: float
    cold_start_ms: float
    fps: float | None


def summarize(
    latency_ms: Sequence[float], batch_size: int, warmup_ms: Sequence[float] = ()
) -> Summary:
    """Summarize timed samples in run order; `warmup_ms` only tells which call came first.

    Raises ValueError without samples. A tail quantile is null when there are too few
    samples to bound it (p90 29, p95 59, p99 299). Source: order statistics.
    """
    if not latency_ms:
        raise ValueError("no samples to summarize")
    n = len(latency_ms)
    percent = (
        statistics.quantiles(latency_ms, n=100, method="inclusive")
        if n > 1
        else [latency_ms[0]] * 99
    )
    mean_ms = statistics.fmean(latency_ms)
    p50_ms = statistics.median(latency_ms)
    first_ms = (*warmup_ms, *latency_ms)[0]
    return Summary(
        n=n,
        min_ms=min(latency_ms),
        p25_ms=percent[24],
        p50_ms=p50_ms,
        p75_ms=percent[74],
        mean_ms=mean_ms,
        std_ms=statistics.stdev(latency_ms) if n > 1 else None,
        p90_ms=percent[89] if n >= SAMPLES_FOR_P90 else None,
        p95_ms=percent[94] if n >= SAMPLES_FOR_P95 else None,
        p99_ms=percent[98] if n >= SAMPLES_FOR_P99 else None,
        max_ms=max(latency_ms),
        first_ms=first_ms,
        cold_start_ms=first_ms - p50_ms,
        fps=1000 * batch_size / mean_ms if mean_ms > 0 else None,
    )
