"""When queries arrive: a schedule that is fixed before the first one, whatever the answers take."""

from __future__ import annotations

import numpy as np

from runner.trial.description import Load


def schedule_ns(
    load: Load, seed: tuple[int, ...] = (0,), budget_s: float | None = None
) -> np.ndarray:
    """Nanoseconds from the start at which each query arrives, in order; all 0 for offline.

    Poisson arrivals are seeded, for each rate anew. Those after `budget_s` are cut off, but not
    the first.
    """
    if load.rate is None:
        return np.zeros(load.queries, dtype=np.int64)
    if load.arrivals == "constant":
        times_s = np.arange(1, load.queries + 1) / load.rate
    else:
        random = np.random.default_rng([*seed, round(1e6 * load.rate)])
        gaps_s = random.exponential(1 / load.rate, load.queries)
        times_s = np.cumsum(gaps_s)
    if budget_s is not None:
        times_s = times_s[: max(1, int(np.searchsorted(times_s, budget_s)))]
    return np.round(times_s * 1e9).astype(np.int64)
