"""Trials and records, made without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runner.host.secrets import redacted_trial
from runner.launchers.job import raw_record
from runner.records.manifest import Manifest, Planned, save_manifest
from runner.records.record import Outcome, Record
from runner.records.store import RECORD, save
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


def planned_of(trial: Trial) -> Planned:
    """A trial in a manifest, by its key with its secrets."""
    name = replace(trial, repeat=0).title
    return Planned(
        trial.folder, trial.key, trial.repeat, trial.title, trial.device, trial_title=name
    )


def record_of(trial: Trial, outcome: Outcome, host: dict[str, Any] | None = None) -> Record:
    """The judged record of an outcome."""
    return judged(
        raw_record(
            outcome,
            trial=redacted_trial(trial),
            planned=planned_of(trial),
            sweep_id="night",
            host=host or {},
            started_at="2026-01-01T00:00:00.000+00:00",
        )
    )


def make_record(**changes: Any) -> Record:
    """A record of two samples; `changes` are those of its outcome."""
    outcome = Outcome("completed", warmup_ms=(9.0,), latency_ms=(0.1, 1 / 3), **changes)
    return record_of(make_trial(), outcome, {"host": "here", "torch": "2"})


def timed(
    trial: Trial, median_ms: float = 10.0, n: int = 60, noise: float = 0.01, **changes: Any
) -> Record:
    """A record whose samples lie around a median, with a slow first warm-up; the same each time."""
    random = np.random.default_rng([int(trial.key, 16), trial.repeat])
    samples = median_ms * np.exp(random.normal(0.0, noise, n + trial.timing.warmup))
    samples[0] *= 5
    host = {"host": "here", "cpu": "a CPU", "torch": "2.14.1", **changes.pop("host", {})}
    outcome = Outcome(
        "completed",
        warmup_ms=tuple(map(float, samples[: trial.timing.warmup])),
        latency_ms=tuple(map(float, samples[trial.timing.warmup :])),
        **changes,
    )
    return record_of(trial, outcome, host)


def write_sweep(
    output_dir: Path,
    sweep_id: str,
    records: Sequence[Record],
    planned: Sequence[Trial] = (),
    tracking: str = "off",
) -> Path:
    """A sweep on disk as the program leaves it; `planned` are trials that have not run."""
    folder = output_dir / sweep_id
    for record in records:
        path = folder / record.folder / RECORD
        path.parent.mkdir(parents=True, exist_ok=True)
        save(replace(record, sweep_id=sweep_id), path)
    done = [
        Planned(
            *(one.folder, one.key, one.repeat, one.title, one.trial.device),
            trial_title=one.trial_title,
        )
        for one in records  # by the keys of the records, whose trials have no secrets any more
    ]
    manifest = Manifest(
        sweep_id=sweep_id,
        name=None,
        command=("runner",),
        order_seed=None,
        tracking={"kind": tracking, "uri": None, "experiment": "runner"},
        host="here",
        pid=1,
        planned_at="2026-01-01T00:00:00.000+00:00",
        trials=(*done, *map(planned_of, planned)),
    )
    save_manifest(manifest, folder)
    return folder
