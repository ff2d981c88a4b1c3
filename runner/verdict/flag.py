"""A flag, one finding about a number; and the case that the rules examine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from runner.contract import Level
from runner.records.record import Outcome
from runner.statistics.shape import Shape, shape_of
from runner.statistics.summary import Summary
from runner.trial.description import Trial
from runner.trial.methods import METHODS, Method, is_synchronized

PROPORTIONS = {
    Level.INVALID: 0.05,
    Level.SUSPECT: 0.01,
    Level.NOTE: 0.0,
}  # of the figure that is wrong


@dataclass(frozen=True)
class Flag:
    """One finding about a number: `level` is invalid, suspect or note.

    `figure` in `unit`: "%" of a share (0.01 is 1 %), with "+" before it if the sign matters.
    `need` is the number in the remedy; for several trials the largest one fits all.
    """

    code: str
    level: Level
    figure: float | None
    unit: str
    found: str
    remedy: str
    need: float = 0.0


def in_proportion(effect: float) -> Level:
    """The level of an error of this share of the figure."""
    return next(level for level, least in PROPORTIONS.items() if abs(effect) >= least)


@dataclass(frozen=True)
class Case:
    """A completed trial with what the rules need."""

    trial: Trial
    outcome: Outcome
    summary: Summary

    @property
    def method(self) -> Method:
        """The properties of its timing method."""
        return METHODS[self.trial.timing.method]

    @property
    def synchronized(self) -> bool:
        """Whether each sample ended when the device had done its work."""
        return is_synchronized(self.trial.timing.method, self.trial.device_kind)

    @property
    def inner(self) -> int:
        """Passes that made one sample."""
        return int(self.outcome.effective.get("inner", 1))

    @cached_property
    def timed_ms(self) -> Sequence[float]:
        """The times of like passes, in run order.

        Under load those of the service without the queue, of the usual number of queries together.
        """
        if not self.trial.is_load:
            return self.outcome.latency_ms
        series = self.outcome.series
        return [
            ms
            for ms, size in zip(series["service_ms"], series["batch_queries"], strict=True)
            if size == self._usual_size
        ]

    @cached_property
    def _usual_size(self) -> float:
        sizes = Counter(self.outcome.series["batch_queries"]) if self.trial.is_load else {1: 1}
        return max(sizes, key=lambda size: sizes[size], default=1)

    @property
    def warmup_samples(self) -> tuple[float, ...]:
        """The warm-up's samples, if the timed samples are single passes, too."""
        return self.outcome.warmup_ms if self.inner == 1 and self._usual_size == 1 else ()

    @cached_property
    def shape(self) -> Shape:
        """The structure detected in the samples."""
        samples = [*self.warmup_samples, *self.timed_ms]
        return shape_of(samples, len(self.warmup_samples))

    @property
    def cpu(self) -> dict[str, Any]:
        """The CPU contention, or why it is missing."""
        return self._looked_at("cpu")

    @property
    def gpu(self) -> dict[str, Any]:
        """The GPU's readings, or why they are missing."""
        return self._looked_at("gpu")

    def _looked_at(self, name: str) -> dict[str, Any]:
        why_null = self.outcome.why_null
        reason = why_null.get(f"contention.{name}") or why_null.get("contention")
        seen: dict[str, Any] | None = (self.outcome.contention or {}).get(name)
        unknown = {"run_queue_wait": reason, "foreign_pids": reason} if reason else {}
        return seen or {"unknown": unknown}
