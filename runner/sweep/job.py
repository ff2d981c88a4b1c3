"""One point of a sweep, from its configuration to its record on disk."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from runner.config.parse import trial_of, values_of
from runner.host.devices import Devices
from runner.host.environment import host_environment
from runner.host.secrets import redacted_trial
from runner.records.record import Outcome, Record, utc_now
from runner.records.store import LOG, RECORD, UnreadableRecord, load, save, set_aside
from runner.trial.description import KEY_RULE, Timing, Trial
from runner.trial.labels import full_title
from runner.worker import process
from runner.worker.execution import Listener


class Audience:
    """Whoever is told of the trials in the process that has planned them; by itself, nobody."""

    def begins(self, title: str, timing: Timing) -> None:
        """A trial begins; may raise KeyboardInterrupt instead."""

    def phase(self, name: str, expected_s: float | None) -> None:
        """A phase of it begins."""

    def ended(self, record: Record, path: Path) -> None:
        """It has ended, and its record is on disk."""

    def holding(self, devices: Iterable[str]) -> AbstractContextManager[None]:
        """Keep other sweeps from devices, as `Devices.identity` names them; may wait, or refuse."""
        return nullcontext()

    def came_back(self, place: int, record: Record) -> None:
        """The trial at a place of the plan has ended in another process."""


@dataclass(frozen=True)
class Job:
    """What Hydra's launchers run for each point, in this process or in another.

    All it needs travels with it but for the `audience`, which stays where it is. `folder` is
    where a user's own modules are looked for, `varying` names the settings that titles show.
    """

    devices: Devices
    folder: Path
    varying: tuple[str, ...]
    order_seed: int | None
    command: tuple[str, ...]
    audience: Audience

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"audience": Audience()}

    def __call__(self, cfg: DictConfig) -> Record:
        """Run the point: a fresh process, its raw outcome on disk, then the judged record.

        Raises KeyboardInterrupt, once what was measured is on disk.
        """
        trial = trial_of(values_of(cfg), self.devices, self.folder)
        shown = redacted_trial(trial)
        title = full_title(shown, self.varying)
        self.audience.begins(title, trial.timing)
        folder = Path(HydraConfig.get().runtime.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        set_aside(folder / RECORD)
        host = host_environment(self.folder) | {"command": list(self.command)}
        path, started_at = folder / RECORD, utc_now()

        described = partial(
            raw_record,
            trial=shown,
            key=trial.key,
            title=title,
            trial_title=full_title(replace(shown, repeat=0), self.varying),
            sweep_id=str(cfg.sweep.id),
            host=host,
            started_at=started_at,
            order_seed=self.order_seed,
        )
        listener = Listener(self.audience.phase, lambda outcome: save(described(outcome), path))
        outcome = process.run(trial, cfg.isolation, folder / LOG, listener)
        from runner.verdict.judge import judged  # brings scipy, which no dry run needs

        record = judged(described(outcome))
        save(record, path)
        self.audience.ended(record, path)
        if record.status == "interrupted":
            raise KeyboardInterrupt
        return record

    def lost(self, cfg: DictConfig, why: str) -> Record:
        """The record of a point whose process elsewhere left none, or none that is judged."""
        from runner.verdict.judge import judged

        trial = trial_of(values_of(cfg), self.devices, self.folder)
        path = Path(cfg.hydra.sweep.dir) / trial.folder / RECORD
        with suppress(UnreadableRecord):
            return judged(load(path))
        shown, now = redacted_trial(trial), utc_now()
        status = "timed_out" if "TIMEOUT" in why else "failed"
        record = judged(
            raw_record(
                Outcome(status, error={"type": "WorkerDied", "message": why, "trace": ""}),
                trial=shown,
                key=trial.key,
                title=full_title(shown, self.varying),
                trial_title=full_title(replace(shown, repeat=0), self.varying),
                sweep_id=str(cfg.sweep.id),
                host={"command": list(self.command)},
                started_at=now,
                order_seed=self.order_seed,
            )
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        save(record, path)
        return record


def raw_record(
    outcome: Outcome,
    *,
    trial: Trial,
    key: str,
    title: str,
    trial_title: str,
    sweep_id: str,
    host: dict[str, Any],
    started_at: str,
    order_seed: int | None = None,
) -> Record:
    """What is known of a trial that has just ended, before it is judged.

    `trial` holds no secrets, `key` is that of the trial that did.
    """
    return Record(
        sweep_id=sweep_id,
        key=key,
        repeat=trial.repeat,
        title=title,
        trial_title=trial_title,
        trial=trial,
        status=outcome.status,
        verdict=None,
        reasons=[],
        effective=outcome.effective,
        warmup_ms=list(outcome.warmup_ms),
        latency_ms=list(outcome.latency_ms),
        series=outcome.series,
        figures=outcome.figures,
        summary={},
        environment=host | outcome.environment,
        contention=outcome.contention,
        started_at=started_at,
        ended_at=utc_now(),
        error=outcome.error,
        order_seed=order_seed,
        why_null=outcome.why_null | {"verdict": "ended before it was judged"},
        key_rule=KEY_RULE,
    )
