"""Samples as they are taken, in memory that outlives the process that takes them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import replace

from runner.measure.loop import Keep
from runner.records.record import Outcome
from runner.trial.description import Timing


class Kept(Keep):
    """What a trial has measured so far, shared by its worker and the process that waits for it.

    Whatever ends a worker, up to the kernel: the blocks it had finished are here.
    """

    def __init__(self, timing: Timing) -> None:
        context = multiprocessing.get_context("forkserver")
        self._counts = context.RawArray("q", 2)  # of warm-up and timed samples
        self._warmup_ms = context.RawArray("d", timing.warmup)
        self._latency_ms = context.RawArray("d", timing.iterations)

    def warmed_up(self, samples_ms: Sequence[float]) -> None:
        """Keep the samples of the warm-up."""
        self._warmup_ms[: len(samples_ms)] = list(samples_ms)
        self._counts[:] = [len(samples_ms), 0]  # of a trial that was started again, anew

    def timed(self, samples_ms: Sequence[float]) -> None:
        """Keep a block of timed samples, behind those before it."""
        done = self._counts[1]
        self._latency_ms[done : done + len(samples_ms)] = list(samples_ms)
        self._counts[1] = done + len(samples_ms)  # last: what is counted is there

    def into(self, outcome: Outcome) -> Outcome:
        """An outcome of a trial that came to no end, with what it had measured."""
        warmups, timed = self._counts
        return replace(
            outcome,
            warmup_ms=tuple(self._warmup_ms[:warmups]),
            latency_ms=tuple(self._latency_ms[:timed]),
        )
