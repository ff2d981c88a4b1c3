"""A flag: one thing to know about a number; and the case that the rules look at."""

from __future__ import annotations

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
    """One thing to know about a number: `level` is invalid, suspect or note.

    `figure` in `unit`: "%" of a share (0.01 is 1 %), with "+" before it where the sign tells.
    `need` is the number that the remedy names: of several trials, the largest serves all.
    """

    code: str
    level: Level
    figure: float | None
    unit: str
    found: str
    remedy: str
    need: float = 0.0


def in_proportion(effect: float) -> Level:
    """The level of what puts a figure wrong by this share of it."""
    return next(level for level, least in PROPORTIONS.items() if abs(effect) >= least)


@dataclass(frozen=True)
class Case:
    """A completed trial, as the rules see it."""

    trial: Trial
    outcome: Outcome
    summary: Summary

    @property
    def method(self) -> Method:
        """The facts of its timing method."""
        return METHODS[self.trial.timing.method]

    @property
    def synchronized(self) -> bool:
        """Whether each sample ended when the device had done its work."""
        return is_synchronized(self.trial.timing.method, self.trial.device_kind)

    @property
    def inner(self) -> int:
        """Passes that made one sample."""
        return int(self.outcome.effective.get("inner", 1))

    @property
    def warmup_samples(self) -> tuple[float, ...]:
        """The warm-up's passes, if the timed samples are single passes as well."""
        return self.outcome.warmup_ms if self.inner == 1 else ()

    @cached_property
    def shape(self) -> Shape:
        """What is not noise in the samples."""
        samples = [*self.warmup_samples, *self.outcome.latency_ms]
        return shape_of(samples, len(self.warmup_samples))

    @property
    def cpu(self) -> dict[str, Any]:
        """What was seen of others on the CPU, or why nothing was."""
        return self._looked_at("cpu")

    @property
    def gpu(self) -> dict[str, Any]:
        """What was seen of the GPU, or why nothing was."""
        return self._looked_at("gpu")

    def _looked_at(self, name: str) -> dict[str, Any]:
        why_null = self.outcome.why_null
        reason = why_null.get(f"contention.{name}") or why_null.get("contention")
        seen: dict[str, Any] | None = (self.outcome.contention or {}).get(name)
        unknown = {"run_queue_wait": reason, "foreign_pids": reason} if reason else {}
        return seen or {"unknown": unknown}
