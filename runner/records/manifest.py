"""The manifest of a sweep: what was planned, written before the first trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from runner.contract import UnreadableRecord
from runner.records.store import write_whole
from runner.trial.description import folder_of

MANIFEST = "sweep.json"
VERSION = 1


@dataclass(frozen=True)
class Planned:
    """One process of a trial in a plan: its folder, its key, what a person calls it.

    `trial_title` is the title without the number of the process, `command` the number of the
    command that planned it: 0, or above where one has extended the sweep.
    """

    folder: str
    key: str
    repeat: int
    title: str
    device: str
    command: int = 0
    trial_title: str = ""

    @property
    def identity(self) -> str:
        """What the processes of a trial on a device have in common."""
        return folder_of(self.key, self.device)


@dataclass(frozen=True)
class Manifest:
    """A sweep as it was planned, its trials in the order they were to run.

    `name` is that of its file in conf/sweep/, `order_seed` decided the order within each round
    (null without rounds), `tracking` says where the MLflow runs were to go, without secrets.
    `extended_by` are the commands that have added trials to those of `command`.
    """

    sweep_id: str
    name: str | None
    command: tuple[str, ...]
    order_seed: int | None
    tracking: dict[str, str | None]
    host: str
    pid: int
    planned_at: str
    trials: tuple[Planned, ...]
    extended_by: tuple[tuple[str, ...], ...] = ()
    version: int = VERSION

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """All that have planned its trials, in the order they were typed."""
        return (self.command, *self.extended_by)


def save_manifest(manifest: Manifest, sweep_dir: Path) -> None:
    """Write the manifest into the folder of its sweep. Raises OSError."""
    write_whole(asdict(manifest), sweep_dir / MANIFEST)


def load_manifest(sweep_dir: Path) -> Manifest:
    """The manifest of a sweep's folder; raises UnreadableRecord with the reason."""
    path = sweep_dir / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["version"]
        if version != VERSION:
            raise UnreadableRecord(f"{path} is of version {version}; expected version {VERSION}")
        values["trials"] = _titled([Planned(**trial) for trial in values["trials"]])
        values["command"] = tuple(values["command"])
        values["extended_by"] = tuple(map(tuple, values.get("extended_by", ())))
        return Manifest(**{part.name: values[part.name] for part in fields(Manifest)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableRecord(f"{path} can't be read: {error}") from error


def _titled(planned: Sequence[Planned]) -> tuple[Planned, ...]:
    """The same with the titles of their trials, which manifests of before do not hold."""
    first = {one.identity: one.title for one in planned if not one.repeat}
    return tuple(
        one if one.trial_title else replace(one, trial_title=first.get(one.identity, one.title))
        for one in planned
    )
