"""Nights: nightly sweeps of one name, each in a folder `<name>-<date>`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from runner.contract import Confirmation, GateVerdict, Unreadable
from runner.records.manifest import load_manifest
from runner.records.process_summary import ProcessSummary, briefs
from runner.records.reading import Index, NotNegative, Number, checked, read_values

LOCK = ".nightly.lock"  # below output_dir, of a night that runs
VERDICTS = "gate.json"  # in a night's folder: its verdicts
VERSION: Final = 1  # of that file


@dataclass(frozen=True)
class GateOnset:
    """Since when a trial is slower: the nights, and what changed then."""

    first: str
    last: str
    before: str
    changed: list[str]


@dataclass(frozen=True)
class GateDuet:
    """The duet of a suspect: tonight's state against the last good one, of the night `since`.

    `ratio` and `ci` are those of the duet; `why` says what it rests on, or why there is none.
    `because` are the operators that make the change, `bisect` the command that finds its commit.
    `still_slow`: even the old state is slower now than it was, which points to the machine.
    """

    outcome: Confirmation
    since: str = ""
    old: str = ""
    ratio: NotNegative | None = None
    ci: tuple[Number, Number] | None = None
    rounds: Index = 0
    why: str = ""
    still_slow: bool = False
    because: str = ""
    bisect: str | None = None
    folder: str | None = None


@dataclass(frozen=True)
class GateTrial:
    """A night's verdict about a trial, as in docs/nightly.md."""

    identity: str
    title: str
    verdict: GateVerdict
    why: str = ""
    creep: bool = False
    nights: Index = 0
    ratio: NotNegative | None = None
    ci: tuple[Number, Number] | None = None
    p: NotNegative | None = None
    detectable: Number | None = None
    before_ms: NotNegative | None = None
    tonight_ms: NotNegative | None = None
    processes: Index = 0
    onset: GateOnset | None = None
    first_seen: str | None = None
    reproduce: str | None = None
    mlflow: str | None = None
    duet: GateDuet | None = None


@dataclass(frozen=True)
class GateHealth:
    """The nights it was judged by, and its effect on the whole suite."""

    question: bool
    nights: list[str] = field(default_factory=list)
    flagged: dict[str, str] = field(default_factory=dict)
    pinned: list[str] = field(default_factory=list)
    shift: Number | None = None
    creep: Number | None = None
    widened: Number = 1.0
    detectable: Number | None = None


@dataclass(frozen=True)
class Fingerprint:
    """The file of decisions as it was: length and hash."""

    bytes: Index
    sha256: str


@dataclass(frozen=True)
class Gate:
    """The verdicts of a night: gate.json, for programs and for later nights."""

    night: str
    trials: list[GateTrial]
    health: GateHealth
    headline: str = ""
    exit_code: Index = 0
    judged_at: str = ""
    counts: dict[GateVerdict, Index] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    decisions: Fingerprint | None = None
    version: Literal[1] = VERSION


@dataclass(frozen=True)
class Night:
    """One night: what was `planned` (title by identity), its processes, and its verdicts.

    `previous_verdicts` has the verdict of each trial by identity; `question`: the suite as a whole
    changed; `decided` is the file of decisions as it was then. They are empty before the night
    is judged. `notes` name what can't be read.
    """

    sweep_id: str
    planned: Mapping[str, str]
    processes: tuple[ProcessSummary, ...]
    previous_verdicts: Mapping[str, str] = field(default_factory=dict)
    question: bool = False
    notes: tuple[str, ...] = ()
    decided: Fingerprint | None = None

    @cached_property
    def by_trial(self) -> Mapping[str, list[ProcessSummary]]:
        """The processes of each trial."""
        found: dict[str, list[ProcessSummary]] = defaultdict(list)
        for one in self.processes:
            found[one.identity].append(one)
        return dict(found)

    @property
    def began_s(self) -> float:
        """When its first process began, in seconds since 1970; 0 without processes."""
        return min((one.began_s for one in self.processes), default=0.0)


def nights_of(output_dir: Path, name: str) -> list[Path]:
    """The folders of all nights, the oldest first."""
    dated = re.compile(rf"{re.escape(name)}-\d{{4}}-\d{{2}}-\d{{2}}")
    return sorted(path for path in output_dir.glob(f"{name}-*") if dated.fullmatch(path.name))


def load_night(sweep_dir: Path) -> Night:
    """A night from its folder. Raises Unreadable if its plan can't be read."""
    manifest = load_manifest(sweep_dir)
    found, notes = briefs(sweep_dir)
    titles = {one.identity: one.title for one in found}
    for planned in manifest.trials:
        titles.setdefault(planned.identity, planned.trial_title)
    text, question, decided = dict[str, str](), False, None
    if (path := sweep_dir / VERDICTS).exists():
        try:
            gate = checked(read_values(path), Gate, str(path))
            text = {one.identity: one.verdict for one in gate.trials}
            question, decided = gate.health.question, gate.decisions
        except Unreadable as error:
            notes.append(f"{error}; {sweep_dir.name} counts as never judged")
    return Night(sweep_dir.name, titles, tuple(found), text, question, tuple(notes), decided)
