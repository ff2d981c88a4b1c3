"""The plan of a sweep: all its trials, checked before the first one, in the order they run."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runner.config.grid import SWEEP_WIDE
from runner.config.parse import Draft, Sizes, drafted, settled
from runner.config.settings import Settings, settings_of, wide_problems
from runner.config.spanned import Grid
from runner.config.values import Values
from runner.contract import Problem, UsageError, WorkerDied, counted
from runner.host.devices import Devices, possible_devices
from runner.host.secrets import know, redact, redacted_trial
from runner.launchers.job import Job
from runner.launchers.launcher import Launcher, launcher_of
from runner.records.manifest import Manifest, Planned
from runner.records.printable import printable
from runner.records.record import utc_now
from runner.sweep.budget import select_rounds
from runner.sweep.search import Search, template_of
from runner.tracking import store
from runner.trial.description import Engine, Pipeline, Runtime, Trial
from runner.trial.titles import full_title, summary_of, varying
from runner.worker import process
from runner.worker.execution import Inspection

Inspect = Callable[[Sequence[Trial], str], Inspection]
MAX_COSTED = 200  # trials whose cost a dry run computes: a fraction of a second each


@dataclass(frozen=True)
class Plan:
    """The trials to run, in order, with their names.

    `title` names the sweep by its axes, `order_seed` shuffled each round (None: no rounds),
    `source_dir` is the working directory, `devices` are available where the trials run, and
    `budget_note` says which part of the grid fits the budget.
    """

    settings: Settings
    trials: tuple[Trial, ...]
    planned: tuple[Planned, ...]
    title: str
    order_seed: int | None
    devices: Devices
    source_dir: Path
    launcher: Launcher
    budget_note: str
    search: Search | None = None

    def grown(self, trials: Sequence[Trial]) -> Plan:
        """The plan of the next trials of its search."""
        for trial in trials:
            know(vars(trial.model))
        shown = [redacted_trial(trial) for trial in trials]
        names = (
            varying([redacted_trial(one) for one in self.search.templates]) if self.search else ()
        )
        planned = (_planned(trial, one, names) for trial, one in zip(trials, shown, strict=True))
        return replace(self, trials=tuple(trials), planned=tuple(planned))

    def jobs(self, command: Sequence[str]) -> list[Job]:
        """The jobs for the launcher, one for each trial."""
        where, isolation = (self.settings.sweep_dir, self.source_dir), self.settings.isolation
        return [
            Job(trial, planned, *where, tuple(command), self.order_seed, isolation)
            for trial, planned in zip(self.trials, self.planned, strict=True)
        ]

    def manifest(self, command: Sequence[str]) -> Manifest:
        """The manifest that is written before the first trial."""
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
            trials=self.planned,
            searching=self.search is not None,
        )

    def listing(self) -> Iterator[str]:
        """A line for each trial, with the cost of a pass if known beforehand."""
        costs = self._costs()
        for number, (trial, planned) in enumerate(zip(self.trials, self.planned, strict=True), 1):
            line = f"{number:4}  {planned.folder}  {planned.title} on {trial.device}"
            if cost := costs.get(planned.folder):
                line += (
                    f": {cost['gflop']:.4g} GFLOP, {cost['parameters'] / 1e6:.3g} M parameters, "
                    f"{cost['weights_mib']:.3g} MiB"
                )
            yield line
        if self.budget_note:
            yield self.budget_note
        if self.search is not None:
            yield "further trials follow from what these find"
        yield f"{counted(len(self.trials), 'trial')}; dry run, nothing was timed"

    def as_json(self) -> str:
        """The trials in their order, as JSON."""
        trials = [asdict(planned) for planned in self.planned]
        return json.dumps({"version": 1, "title": self.title, "trials": trials}, indent=1)

    def _costs(self) -> dict[str, dict[str, float]]:
        """The cost of a pass of each trial, by folder; empty for a long plan, to save time.

        FLOPs, parameters and bytes as in runner/models/cost.py.
        """
        alike: dict[str, list[Trial]] = {}
        for trial in self.trials:
            if trial.model.task != "simulated" and trial.model.source not in ("onnx", "engine"):
                alike.setdefault(
                    repr((trial.model, trial.input, trial.runtime.precision)), []
                ).append(trial)
        if not alike or len(self.trials) > MAX_COSTED:
            return {}
        try:
            found = process.costs([group[0] for group in alike.values()])
        except WorkerDied:
            return {}  # a module of the user ended the process; the trials will report it
        groups = {group[0].folder: group for group in alike.values()}
        return {one.folder: cost for first, cost in found.items() for one in groups[first]}


def make_plan(grid: Grid, source_dir: Path, inspect: Inspect | None = None) -> Plan:
    """Check every point, in a process with torch if necessary.

    `inspect` asks a process of another environment. Raises UsageError with the problems of all
    points.
    """
    drafts, settings = _drafts(grid, source_dir)
    drafts = [_templated(draft, settings) for draft in drafts]
    try:
        launcher = launcher_of(grid.launcher, grid.launchers)
    except UsageError as error:
        first = drafts[0]
        drafts[0] = Draft(first.trial, (*error.problems, *first.problems))
        _settled(drafts, possible_devices())
        raise
    devices = possible_devices() if launcher.devices is None else launcher.devices
    trials = _settled(drafts, devices)
    asked = _to_inspect(trials)
    unsure = launcher.devices is None and devices != Devices()
    if asked or (unsure and any(trial.device != "cpu" for trial in trials)):
        found = _inspected(asked, settings, inspect)
        if launcher.devices is None:
            devices = found.devices  # what `auto` means here
        trials = _settled(drafts, devices, found.own_sizes)
    if problems := [*_of_repeats(settings, trials), *_twice(trials)]:
        raise UsageError(*problems)
    search = Search(settings.search, trials, settings.max_batch) if settings.search else None
    for trial in trials:
        know(vars(trial.model))
    shown = [redacted_trial(trial) for trial in trials]
    names = varying(shown)
    planned = [_planned(trial, one, names) for trial, one in zip(trials, shown, strict=True)]
    kept = select_rounds(planned, settings)
    plan = Plan(
        settings,
        tuple(trials[index] for index in kept.indices),
        tuple(planned[index] for index in kept.indices),
        summary_of([shown[index] for index in kept.indices], settings.name),
        grid.order_seed,
        devices,
        source_dir,
        launcher,
        kept.note,
        search,
    )
    return plan if search is None else plan.grown(search.following([]))


def _templated(draft: Draft, settings: Settings) -> Draft:
    """What a search varies, with what it can't search."""
    trial, problems = template_of(draft.trial, settings)
    return Draft(trial, (*draft.problems, *problems))


def _planned(trial: Trial, shown: Trial, names: Sequence[str]) -> Planned:
    """The trial's folder and key, and its titles from the redacted trial `shown`."""
    title = printable(full_title(shown, names))
    of_all = printable(full_title(replace(shown, repeat=0), names)) if trial.repeat else title
    folder, key, repeat, device = trial.folder, trial.key, trial.repeat, trial.device
    return Planned(folder, key, repeat, title, device, trial_title=of_all)


def _drafts(grid: Grid, source_dir: Path) -> tuple[list[Draft], Settings]:
    """Every point as given, and the settings of the sweep."""
    drafts: list[Draft] = []
    first: Values | None = None
    for values in grid.points:
        first = first or values
        draft = drafted(values, source_dir)
        wide = tuple(wide_problems(values) if values is first else _of_the_whole(values, first))
        drafts.append(Draft(draft.trial, draft.problems + wide))
    assert first is not None, "a grid has at least one point"
    return drafts, settings_of(first)


def _settled(drafts: Sequence[Draft], devices: Devices, sizes: Sizes | None = None) -> list[Trial]:
    """The trials on these devices. Raises UsageError with the problems of all."""
    trials: list[Trial] = []
    problems: list[Problem] = []
    for draft in drafts:
        trial, found = settled(draft, devices, sizes)
        trials.append(trial)
        problems += found
    if problems:
        raise UsageError(*problems)
    return trials


def _of_the_whole(values: Values, first: Values) -> Iterator[Problem]:
    """Problems of sweep settings that differ between points."""
    for name in SWEEP_WIDE:
        if values[name] != first[name]:
            found = f"{name} is swept, but applies to the whole sweep"
            yield Problem(name, found, "give one")


def _of_repeats(settings: Settings, trials: Sequence[Trial]) -> Iterator[Problem]:
    if settings.isolation == "none" and any(trial.repeat for trial in trials):
        yield Problem(
            "isolation",
            "isolation=none runs everything in this process, but repeats need fresh processes",
            "omit isolation=none or the repeats",
        )


def _twice(trials: Sequence[Trial]) -> Iterator[Problem]:
    titles = {trial.folder: trial.title for trial in trials}
    for folder, count in Counter(trial.folder for trial in trials).items():
        if count > 1:
            yield Problem(
                "repeat",
                f"{titles[folder]} occurs {count} times in this sweep",
                f"give it once, or time it in {count} processes with "
                f"repeat={','.join(map(str, range(count)))}",
            )


def _to_inspect(trials: Sequence[Trial]) -> list[Trial]:
    """Trials whose model or engine must be loaded to validate it, one of each.

    A model from a file may take inputs of one shape only, so each shape is checked.
    """
    asked: dict[str, Trial] = {}
    for trial in trials:
        model, runtime = trial.model, trial.runtime
        plain = Runtime(runtime.threads, runtime.cudnn_benchmark)
        at_stake = model.source or model.target or model.weights or model.kwargs or model.inputs
        if model.task == "simulated" or not (
            at_stake or runtime != plain or trial.engine != Engine() or trial.pipeline != Pipeline()
        ):
            continue
        of_file = trial.input if model.file else None
        parts = (model, runtime, trial.engine, trial.pipeline, trial.device_kind, of_file)
        asked.setdefault(repr(parts), trial)
    return list(asked.values())


def _inspected(trials: Sequence[Trial], settings: Settings, inspect: Inspect | None) -> Inspection:
    """Devices and sizes reported by torch and the sources. Raises UsageError for problems."""
    if settings.isolation == "process" and inspect is None:
        process.start()
    if settings.tracking.kind != "off" and not settings.dry_run:
        store.load()  # while the forkserver loads torch
    try:
        inspection = (inspect or process.inspect)(trials, settings.isolation)
    except WorkerDied as death:
        found = f"devices and models can't be checked: {death}"
        theirs = sorted({str(trial.model.target) for trial in trials if trial.model.target})
        by = f"possibly because of your own code: {', '.join(theirs)}" if theirs else ""
        raise UsageError(Problem("model", found, by)) from death
    if inspection.problems:
        raise UsageError(*inspection.problems)
    return inspection
