"""The manifest of a sweep: what was planned, written before the first trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal, Required

from typing_extensions import TypedDict

from runner.records.reading import (
    FileName,
    Index,
    Moment,
    Of,
    checked,
    of_version,
    read_values,
    unfit,
)
from runner.records.store import write_whole
from runner.trial.description import folder_of

MANIFEST = "sweep.json"
VERSION: Final = 1


class _Tracking(TypedDict, total=False):
    """The MLflow store for runs; `kind` is off, sqlite or server."""

    kind: Required[str]
    uri: Required[str | None]
    experiment: Required[str]


@dataclass(frozen=True)
class Planned:
    """One process of a trial in a plan: its folder, key and titles.

    `trial_title` is the title without the number of the process, `command` the number of the
    command that planned it: 0, or above where one has extended the sweep.
    """

    folder: FileName
    key: FileName
    repeat: Index
    title: str
    device: str
    command: Index = 0
    trial_title: str = ""

    @property
    def identity(self) -> str:
        """The identity that all processes of a trial on a device share."""
        return folder_of(self.key, self.device)


@dataclass(frozen=True)
class Manifest:
    """A sweep as planned, with its trials in run order.

    `name` is that of its file in conf/sweep/, `order_seed` decided the order within each round
    (null without rounds), `tracking` says where the MLflow runs were to go, without secrets.
    `extended_by` are the commands that have added trials to those of `command`. `searching`: a
    search has not ended, so that further trials follow from the records of these.
    """

    sweep_id: FileName
    name: str | None
    command: tuple[str, ...]
    order_seed: int | None
    tracking: Annotated[dict[str, str | None], Of(_Tracking)]
    host: str
    pid: int
    planned_at: Moment
    trials: tuple[Planned, ...]
    extended_by: tuple[tuple[str, ...], ...] = ()
    searching: bool = False
    version: Literal[1] = VERSION

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """All commands that planned its trials, in order."""
        return (self.command, *self.extended_by)


def save_manifest(manifest: Manifest, sweep_dir: Path) -> None:
    """Write the manifest into the folder of its sweep. Raises OSError."""
    write_whole(asdict(manifest), sweep_dir / MANIFEST)


def load_manifest(sweep_dir: Path) -> Manifest:
    """The manifest of a sweep's folder; raises Unreadable with the reason."""
    path = sweep_dir / MANIFEST
    values = read_values(path)
    of_version(values, VERSION, path)
    manifest = checked(values, Manifest, str(path))
    last = len(manifest.extended_by)
    for planned in manifest.trials:
        if planned.command > last:
            raise unfit(path, f"command of {planned.folder}", planned.command, f"at most {last}")
    return replace(manifest, trials=_titled(manifest.trials))


def _titled(planned: Sequence[Planned]) -> tuple[Planned, ...]:
    """The same with trial titles, which old manifests do not have."""
    first = {one.identity: one.title for one in planned if not one.repeat}
    return tuple(
        one if one.trial_title else replace(one, trial_title=first.get(one.identity, one.title))
        for one in planned
    )
