"""The launcher protocol, and the launcher that `hydra/launcher` names."""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Protocol, get_type_hints

from runner.contract import Phase, Problem, UsageError
from runner.host.devices import Devices
from runner.launchers.job import Job, Result
from runner.trial.description import Timing, Trial

KEY = "hydra/launcher"


class Observer(Protocol):
    """Shows what a trial in this process is doing."""

    def begins(self, title: str, timing: Timing) -> None:
        """A trial begins."""

    def phase(self, name: Phase, expected_s: float | None) -> None:
        """A phase of it begins, expected to take so many seconds (None: unknown)."""


class Launcher(Protocol):
    """Runs trials somewhere; created from the keys of conf/hydra/launcher/NAME.yaml.

    A subclass must define `run`; the other defaults fit a launcher that uses other processes of
    this machine. A launcher knows nothing of MLflow, progress and the manifest.
    """

    @property
    def devices(self) -> Devices | None:
        """The devices available where trials run; None: those of this machine."""
        return None

    def check(self, devices: Devices) -> None:
        """Raise UsageError if it can't run here, before anything is written."""

    def claims(self, trials: Sequence[Trial], devices: Devices) -> set[str]:
        """The devices of this machine, by `devices.identity`, that these trials will occupy."""
        kinds = {trial.device for trial in trials if trial.device_kind != "simulated"}
        return {devices.identity(device) for device in kinds}

    def observed_by(self, observer: Observer) -> None:
        """Report phases to `observer`, if trials run in this process."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Run each job with `runner.launchers.job.run_point`, in any process.

        Yields its trial with the record, or Lost, as soon as it ends.
        """


def launcher_of(settings: Mapping[str, Any], names: Sequence[str]) -> Launcher:
    """The launcher whose class is `_target_`, created from the other settings.

    `names` are the supported ones. Raises UsageError for any other of Hydra's.
    """
    target = str(settings.get("_target_"))
    own = {name: value for name, value in settings.items() if name != "_target_"}
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # the console script does not have it
    remedy = f"use one of {', '.join(names)}"
    try:
        made_by = pkgutil.resolve_name(target)
    except Exception as error:  # a user's module may raise anything at all
        found = f"hydra/launcher can't be imported: {target} ({type(error).__name__}: {error})"
        raise UsageError(Problem(KEY, found, remedy)) from error
    if not (isinstance(made_by, type) and Launcher in made_by.__mro__):
        found = f"hydra/launcher is {target}, which is not a runner.launchers.launcher.Launcher"
        if target.startswith("hydra"):
            found += ": Hydra's own launchers compose each trial again and can't be used"
        raise UsageError(Problem(KEY, found, remedy))
    if problems := [*_unfit_settings(made_by, own)]:
        raise UsageError(*problems)
    try:
        made: Launcher = made_by(**own)
    except Exception as error:  # likewise
        raise UsageError(Problem(KEY, f"{target} can't be created: {error}")) from error
    return made


def _unfit_settings(made_by: Callable[..., Any], own: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of settings that the class does not take, or that have another type."""
    try:
        inspect.signature(made_by).bind(**own)
    except TypeError as error:
        yield Problem(KEY, f"hydra.launcher does not match its class ({error})")
        return
    for name, hint in get_type_hints(made_by.__init__).items():
        key, value = f"hydra.launcher.{name}", own.get(name)
        kinds = int | float if hint is float else hint
        if name not in own or not isinstance(kinds, type | UnionType):
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
            expected = getattr(hint, "__name__", str(hint))
            yield Problem(key, f"{key} is {value}", f"expected {expected}")
        elif isinstance(value, int | float) and value < 0:
            yield Problem(key, f"{key} is {value}", "expected at least 0")
