"""Trials and records, made without running anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runner.host.secrets import redacted_trial
from runner.records.record import Outcome, Record
from runner.sweep.job import raw_record
from runner.trial.description import Input, Model, Runtime, Timing, Trial
from runner.verdict.judge import judged


def make_trial(**changes: Any) -> Trial:
    """A small trial; `timing={...}` and the like change single fields of a group."""
    trial = Trial(
        model=Model("resnet18"),
        input=Input((64, 64), batch_size=1, frames=16, fill="randn"),
        timing=Timing(
            "wall", warmup=2, iterations=4, max_seconds=None, inner=None, target=None, cache="warm"
        ),
        runtime=Runtime(threads=1, cudnn_benchmark=False),
        device="cpu",
        repeat=0,
        seed=0,
    )
    for name, value in changes.items():
        new = replace(getattr(trial, name), **value) if isinstance(value, dict) else value
        trial = replace(trial, **{name: new})
    return trial


def record_of(trial: Trial, outcome: Outcome, host: dict[str, Any] | None = None) -> Record:
    """The judged record of an outcome."""
    return judged(
        raw_record(
            outcome,
            trial=redacted_trial(trial),
            key=trial.key,
            title=trial.title,
            sweep_id="night",
            host=host or {},
            started_at="2026-01-01",
        )
    )


def make_record(**changes: Any) -> Record:
    """A record of two samples; `changes` are those of its outcome."""
    outcome = Outcome("completed", warmup_ms=(9.0,), latency_ms=(0.1, 1 / 3), **changes)
    return record_of(make_trial(), outcome, {"host": "here", "torch": "2"})
