"""From what a service did to the samples, series and figures of its trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runner.serving.play import Served

MS = 1e6  # nanoseconds


@dataclass(frozen=True)
class Answered:
    """The queries that were answered, in order of arrival, and the batches that answered them.

    `latency_ms` counts from the scheduled arrival, `wait_ms` is its part before an instance began;
    `late_ms` is how much too late idle instances began, of batches they had waited for.
    """

    latency_ms: np.ndarray
    wait_ms: np.ndarray
    arrival_ms: np.ndarray
    service_ms: np.ndarray
    batch_queries: np.ndarray
    late_ms: np.ndarray
    ended_ms: float

    @property
    def series(self) -> dict[str, list[float]]:
        """Lists for the record; those of batches are shorter than those of queries."""
        names = ("arrival_ms", "wait_ms", "service_ms", "batch_queries", "late_ms")
        return {name: getattr(self, name).tolist() for name in names}


def answered(served: Served, arrivals_ns: Sequence[int] | np.ndarray) -> Answered:
    """Everything that was answered; `arrivals_ns` is empty if queries came when they began."""
    done = [number for number, at in enumerate(served.done_ns) if at >= 0]
    began = np.array([served.began_ns[number] for number in done], dtype=float)
    ended = np.array([served.done_ns[number] for number in done], dtype=float)
    batches = [served.batches[number] for number in done]
    sizes = np.array([one.size for one in batches], dtype=int)
    queries = np.array([one.first + place for one in batches for place in range(one.size)], int)
    begun, over = np.repeat(began, sizes), np.repeat(ended, sizes)
    arrived = np.asarray(arrivals_ns, dtype=float)[queries] if len(arrivals_ns) else begun
    order = np.argsort(queries)
    late = [
        served.began_ns[number] - served.batches[number].due_ns
        for number in done
        if served.waited[number]
    ]
    return Answered(
        latency_ms=((over - arrived) / MS)[order],
        wait_ms=((begun - arrived) / MS)[order],
        arrival_ms=(arrived / MS)[order],
        service_ms=(ended - began) / MS,
        batch_queries=sizes,
        late_ms=np.array(late, dtype=float) / MS,
        ended_ms=float(ended.max(initial=0.0)) / MS,
    )


def figures_of(
    found: Answered, instances: int, unanswered: int, q: float
) -> dict[str, float | None]:
    """The q-quantile of the latency, rates a second, how busy the instances were, lateness, queue.

    `busy` is a share of their time; `waiting_end` is the number of queries that had not begun when
    the last one arrived.
    """
    count, last_ms = len(found.latency_ms), float(found.arrival_ms.max(initial=0.0))
    began_ms, late = found.arrival_ms + found.wait_ms, found.late_ms
    late_ms = [float(np.quantile(late, q)) if len(late) else None for q in (0.5, 0.99)]
    ended_ms = max(found.ended_ms, 1e-9)
    latency_ms = found.latency_ms
    return {
        "tail_ms": float(np.quantile(latency_ms, q)) if count and not unanswered else None,
        "offered_qps": 1000 * (count + unanswered) / last_ms if last_ms > 0 else None,
        "answered_qps": 1000 * count / ended_ms,
        "busy": float(found.service_ms.sum()) / (instances * ended_ms),
        "batch_mean": float(found.batch_queries.mean()) if len(found.batch_queries) else None,
        "late_p50_ms": late_ms[0],
        "late_p99_ms": late_ms[1],
        "waiting_end": float(np.sum(began_ms >= last_ms)) + unanswered if last_ms > 0 else None,
        "unanswered": float(unanswered),
    }
