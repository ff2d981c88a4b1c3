"""When an adaptive run has taken enough samples."""

from __future__ import annotations

from collections.abc import Sequence

from runner.statistics.quantiles import half_width, independent
from runner.statistics.shape import MIN_FOR_SHAPE

MIN_INDEPENDENT = 30  # samples; with fewer a run does not know its own noise


def is_reached(target: float, samples: Sequence[float]) -> bool:
    """Whether the median is known to +-`target` (a share), from enough samples."""
    if len(samples) < MIN_FOR_SHAPE or independent(samples) < MIN_INDEPENDENT:
        return False
    width = half_width(samples)
    return width is not None and width <= target
