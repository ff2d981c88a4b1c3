"""A buffer of samples in shared memory, which outlives the process that takes them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import replace

from runner.measure.loop import Keep
from runner.records.record import Outcome
from runner.trial.description import Trial


class SampleBuffer(Keep):
    """The samples of a trial so far, shared by its worker and the waiting process.

    However a worker ends, even by the kernel, its finished blocks are here.
    """

    def __init__(self, trial: Trial) -> None:
        context = multiprocessing.get_context("forkserver")
        self._counts = context.RawArray("q", 2)  # of warm-up and timed samples
        self._warmup_ms = context.RawArray("d", trial.timing.warmup)
        self._latency_ms = context.RawArray("d", trial.samples)

    def warmed_up(self, samples_ms: Sequence[float]) -> None:
        """Keep the samples of the warm-up."""
        self._warmup_ms[: len(samples_ms)] = list(samples_ms)
        self._counts[:] = [len(samples_ms), 0]  # a restarted trial starts from zero

    def timed(self, samples_ms: Sequence[float]) -> None:
        """Append a block of timed samples."""
        done = self._counts[1]
        self._latency_ms[done : done + len(samples_ms)] = list(samples_ms)
        self._counts[1] = done + len(samples_ms)  # last, so that counted samples are complete

    def into(self, outcome: Outcome) -> Outcome:
        """The outcome of an unfinished trial, with its samples so far."""
        warmups, timed = self._counts
        return replace(
            outcome,
            warmup_ms=tuple(self._warmup_ms[:warmups]),
            latency_ms=tuple(self._latency_ms[:timed]),
        )
