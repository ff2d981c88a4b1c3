"""The file of a duet: its two sides, its rounds as they come, and what they say."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from annotated_types import Ge, Le

from runner.contract import DuetVerdict
from runner.records.reading import (
    Index,
    Moment,
    Number,
    checked,
    of_version,
    read_values,
    unfit,
)
from runner.records.store import write_whole

DUET = "duet.json"
VERSION: Final = 1
Role = Literal["old", "new"]
Share = Annotated[float, Ge(0), Le(1)]
Ratio = Annotated[float, Ge(1e-6), Le(1e6)]


@dataclass(frozen=True)
class DuetSide:
    """One side: `name` as typed, its trial, and the software with which it runs.

    `key` is that of the trial, `commit` of the user's code, null without a repository. `own_code`
    is the hash of the user's modules, once a round has been played; null without any.
    """

    name: str
    title: str
    key: str
    python: str
    words: list[str] = field(default_factory=list)
    commit: str | None = None
    own_code: str | None = None


@dataclass(frozen=True)
class DuetRound:
    """One round of two fresh processes: their typical times, and `first`, the side that began.

    `verdicts` are those of the two numbers.
    """

    number: Index
    first: Role
    old_ms: Ratio
    new_ms: Ratio
    began_at: Moment
    verdicts: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class DuetFile:
    """A duet: written before the first round, and again after each.

    `ratio` is the time of the new side over that of the old one, `ci` its interval, which
    holds for all looks together with probability 1 - `alpha`. `verdict` is null while more rounds
    are needed; `why` explains one that failed. `differs` are the differences of the environments.
    """

    duet_id: str
    old: DuetSide
    new: DuetSide
    device: str
    host: str
    seed: int
    looks: list[Index]
    alpha: Share
    margin: Share
    planned_at: Moment
    rounds: list[DuetRound]
    verdict: DuetVerdict | None = None
    ratio: Ratio | None = None
    ci: tuple[Ratio, Ratio] | None = None
    spread: Number | None = None
    why: str = ""
    failed: Literal["", "old", "new"] = ""
    differs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    version: Literal[1] = VERSION


def save_duet(duet: DuetFile, folder: Path) -> None:
    """Write it atomically. Raises OSError."""
    write_whole(asdict(duet), folder / DUET)


def load_duet(folder: Path) -> DuetFile:
    """Read it. Raises Unreadable, also for a verdict without the rounds that it needs."""
    path = folder / DUET
    values = read_values(path)
    of_version(values, VERSION, path)
    duet = checked(values, DuetFile, str(path))
    if not duet.looks:
        raise unfit(path, "looks", duet.looks, "at least one")
    if duet.verdict in (None, DuetVerdict.FAILED):
        return duet
    if len(duet.rounds) < duet.looks[0] or duet.ratio is None or duet.ci is None:
        expected = f"no verdict before {duet.looks[0]} rounds and without ratio and interval"
        raise unfit(path, "verdict", str(duet.verdict), expected)
    return duet
