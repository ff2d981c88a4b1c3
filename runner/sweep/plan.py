"""The plan of a sweep: all its trials, checked before the first one, in the order they run."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runner.config.grid import SWEEP_WIDE
from runner.config.parse import Settings, Values, settings_of, trial_of
from runner.host.devices import Devices, possible_devices
from runner.host.secrets import redact, redacted_trial
from runner.records.manifest import Manifest, Planned
from runner.records.record import utc_now
from runner.sweep.budget import Kept, within_budget
from runner.tracking import store
from runner.trial.description import Engine, Runtime, Trial
from runner.trial.labels import full_title, summary_of, varying
from runner.trial.rules import Problem, UsageError
from runner.worker import process
from runner.worker.execution import Inspection

MOST_COSTED = 200  # trials whose cost a dry run tells: a fraction of a second each


@dataclass(frozen=True)
class Plan:
    """What is going to be run, and `titles` that tell its trials apart.

    `varying` names the settings that do so, `order_seed` has decided the order of the trials, if
    they come in rounds, `folder` is where the command was typed. `kept` says which points of the
    grid the trials are: a budget may not hold all of them. Trials that run `elsewhere` leave the
    devices of this machine alone, or hold them themselves.
    """

    settings: Settings
    trials: tuple[Trial, ...]
    titles: tuple[str, ...]
    varying: tuple[str, ...]
    order_seed: int | None
    devices: Devices
    folder: Path
    kept: Kept
    elsewhere: bool = False

    @property
    def title(self) -> str:
        """The sweep by its name and what it varies."""
        return summary_of([redacted_trial(trial) for trial in self.trials], self.settings.name)

    def settled(self, trial: Trial) -> list[str]:
        """What only the model's source has known, in words for whoever runs the trial."""
        return [] if trial.model.default_size else [f"input.size={list(trial.input.size)}"]

    def costs(self) -> dict[str, dict[str, float]]:
        """What a pass of each trial costs, by its folder; of a long plan none, as that takes time.

        FLOPs, parameters and bytes as in runner/models/cost.py.
        """
        alike: dict[str, list[Trial]] = {}
        for trial in self.trials:
            if trial.model.task != "simulated" and trial.model.source != "onnx":
                alike.setdefault(
                    repr((trial.model, trial.input, trial.runtime.precision)), []
                ).append(trial)
        if not alike or len(self.trials) > MOST_COSTED:
            return {}
        start_worker(self.settings)
        try:
            found = process.costs([group[0] for group in alike.values()])
        except process.WorkerDied:
            return {}  # a module of the user ended it, which their trials will tell
        groups = {group[0].folder: group for group in alike.values()}
        return {one.folder: cost for first, cost in found.items() for one in groups[first]}

    def manifest(self, command: Sequence[str]) -> Manifest:
        """What is written down before the first trial."""
        tracking = asdict(self.settings.tracking)
        return Manifest(
            sweep_id=self.settings.sweep_id,
            name=self.settings.name,
            command=tuple(command),
            order_seed=self.order_seed,
            tracking={name: value and redact(value) for name, value in tracking.items()},
            host=socket.gethostname(),
            pid=os.getpid(),
            planned_at=utc_now(),
            trials=tuple(
                Planned(
                    trial.folder,
                    trial.key,
                    trial.repeat,
                    title,
                    trial.device,
                    trial_title=full_title(replace(redacted_trial(trial), repeat=0), self.varying),
                )
                for trial, title in zip(self.trials, self.titles, strict=True)
            ),
        )


def make_plan(
    points: Iterable[Values],
    order_seed: int | None,
    folder: Path,
    elsewhere: bool = False,
    gpus: int | None = None,
) -> Plan:
    """Check every point, and ask a process with torch where only that can tell.

    Trials that run `elsewhere` with so many `gpus` each are checked for these.
    Raises UsageError with the problems of all points.
    """
    devices = possible_devices() if gpus is None else Devices(cuda=gpus)
    trials = _checked(points, devices, folder)
    settings = settings_of(next(iter(points)))
    asked = _to_inspect(trials)
    unsure = gpus is None and devices != Devices()
    if asked or (unsure and any(trial.device != "cpu" for trial in trials)):
        found = _inspected(asked, settings)
        if (gpus is None and found.devices != devices) or found.own_sizes:
            # what `auto` means, here and of models
            devices = found.devices if gpus is None else devices
            trials = _checked(points, devices, folder, found.own_sizes)
    shown = [redacted_trial(trial) for trial in trials]
    names = varying(shown)
    titles = tuple(full_title(trial, names) for trial in shown)
    kept = within_budget(trials, titles, settings)
    return Plan(
        settings,
        tuple(trials[place] for place in kept.places),
        tuple(titles[place] for place in kept.places),
        names,
        order_seed,
        devices,
        folder,
        kept,
        elsewhere,
    )


def _checked(
    points: Iterable[Values],
    devices: Devices,
    folder: Path,
    own_sizes: Mapping[str, tuple[int, int]] | None = None,
) -> list[Trial]:
    trials: list[Trial] = []
    problems: list[Problem] = []
    first = next(iter(points))
    for values in points:
        try:
            trials.append(trial_of(values, devices, folder, own_sizes))
        except UsageError as error:
            problems += error.problems
        problems += _of_the_whole(values, first)
    problems += _of_repeats(first, trials)
    if problems := problems or list(_twice(trials)):
        raise UsageError(*problems)
    return trials


def _of_the_whole(values: Values, first: Values) -> Iterator[Problem]:
    """Settings of a sweep that one of its points has otherwise."""
    for name in SWEEP_WIDE:
        if values[name] != first[name]:
            found = f"{name} is swept over, but holds for a whole sweep"
            yield Problem(name, found, "give one")


def _of_repeats(values: Values, trials: Sequence[Trial]) -> Iterator[Problem]:
    if values["isolation"] == "none" and any(trial.repeat for trial in trials):
        yield Problem(
            "isolation",
            "isolation=none runs everything in this process, but repeats stand for processes",
            "leave isolation or the repeats out",
        )


def _twice(trials: Sequence[Trial]) -> Iterator[Problem]:
    titles = {trial.folder: trial.title for trial in trials}
    for folder, count in Counter(trial.folder for trial in trials).items():
        if count > 1:
            yield Problem(
                "repeat",
                f"{titles[folder]} comes {count} times in this sweep",
                f"name it once, or time it in {count} processes by "
                f"repeat={','.join(map(str, range(count)))}",
            )


def _to_inspect(trials: Sequence[Trial]) -> list[Trial]:
    """Trials of whose models and engines only these can say whether they can be had, one of each.

    What has a file may take inputs of one shape only, so each shape is asked for.
    """
    asked: dict[str, Trial] = {}
    for trial in trials:
        model, runtime = trial.model, trial.runtime
        plain = Runtime(runtime.threads, runtime.cudnn_benchmark)
        at_stake = model.source or model.target or model.weights or model.kwargs or model.inputs
        if model.task == "simulated" or not (
            at_stake or runtime != plain or trial.engine != Engine()
        ):
            continue
        of_file = trial.input if model.file else None
        parts = (model, runtime, trial.engine, trial.device_kind, of_file)
        asked.setdefault(repr(parts), trial)
    return list(asked.values())


def _inspected(trials: Sequence[Trial], settings: Settings) -> Inspection:
    """What torch, sources and engines say. Raises UsageError for models that can't be had."""
    start_worker(settings)
    if settings.tracking.kind != "off" and not settings.dry_run:
        store.load()  # while the forkserver loads torch
    try:
        inspection = process.inspect(trials, settings.isolation)
    except process.WorkerDied as death:
        found = f"devices and models can't be looked at: {death}"
        raise UsageError(Problem("model", found)) from death
    if inspection.problems:
        raise UsageError(*inspection.problems)
    return inspection


def start_worker(settings: Settings) -> None:
    """Let the forkserver load torch, if trials run in processes of their own."""
    if settings.isolation == "process":
        process.start()
