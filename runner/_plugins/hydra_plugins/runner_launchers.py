"""Hydra launchers of our own: every trial elsewhere, heard of as soon as it ends.

Hydra's plugins for clusters and processes wait for all jobs, and lose all of them to one that
dies. Hydra finds these because `runner._plugins` is on sys.path and in PYTHONPATH.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class _Elsewhere(Launcher):
    def __init__(self, **settings: Any) -> None:
        self._settings: dict[str, Any] = {
            name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for name, value in settings.items()
        }

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra; `task_function` is the sweep's Job."""
        self._context, self._config = hydra_context, config
        self._job: Any = task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        """Run all points; each result is told to the job's audience when it is there."""
        from runner.launchers.point import pack

        config, overrides = _without_secrets(self._config, job_overrides)
        points = [
            pack(self._context, self._job, config, one, number)
            for number, one in enumerate(overrides, initial_job_idx)
        ]
        records: dict[int, Any] = {}
        for place, record in self._run(points, overrides):
            if isinstance(record, str):
                loader = self._context.config_loader
                cfg = loader.load_sweep_config(self._config, overrides[place])
                record = self._job.lost(cfg, record)
            self._job.audience.came_back(place, record)
            records[place] = record
        return [
            JobReturn(_return_value=records[place], status=JobStatus.COMPLETED)
            for place in range(len(points))
        ]

    @abstractmethod
    def _run(
        self, points: Sequence[bytes], overrides: Sequence[Sequence[str]]
    ) -> Iterator[tuple[int, Any]]:
        """The place of each point and its record, or in words why there is none, as they end."""


def _without_secrets(
    config: DictConfig, overrides: Sequence[Sequence[str]]
) -> tuple[DictConfig, list[list[str]]]:
    """What jobs are given, which may lie on a disk: they publish nothing and need no address."""
    config = copy.deepcopy(config)
    config.tracking.uri = config.nightly.webhook = None
    config.tracking.kind = "off"
    config.hydra.job.override_dirname = ""
    for words in (config.hydra.overrides.task, config.hydra.overrides.hydra):
        words[:] = [word for word in words if not _is_told_nobody(word)]
    own = [[*(w for w in one if not _is_told_nobody(w)), "tracking=off"] for one in overrides]
    return config, own


def _is_told_nobody(word: str) -> bool:
    return word.lstrip("+").startswith(("tracking", "nightly."))


class SlurmLauncher(_Elsewhere):
    """conf/hydra/launcher/slurm.yaml."""

    def _run(
        self, points: Sequence[bytes], overrides: Sequence[Sequence[str]]
    ) -> Iterator[tuple[int, Any]]:
        from runner.launchers.slurm import SlurmJobs

        jobs = SlurmJobs(self._settings, self._config.timing.timeout_s)
        return jobs.run(points, overrides, Path(str(self._config.hydra.sweep.dir)))


class GpusLauncher(_Elsewhere):
    """conf/hydra/launcher/gpus.yaml."""

    def _run(
        self, points: Sequence[bytes], overrides: Sequence[Sequence[str]]
    ) -> Iterator[tuple[int, Any]]:
        from runner.launchers import gpus

        devices = self._job.devices
        count = gpus.count_of(self._settings["gpus"], devices.cuda)
        names = [devices.identity(f"cuda:{number}") for number in range(count)]
        with self._job.audience.holding(names):
            yield from gpus.run(points, count)
