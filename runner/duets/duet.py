"""A duet: rounds of two sides in turns, until their difference is known well enough."""

from __future__ import annotations

import math
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from runner.contract import DuetVerdict, Problem, Status, UsageError, Verdict
from runner.duets.link import Hello, Link
from runner.duets.rounds import Part, play
from runner.duets.sides import Side
from runner.history.environment_diff import differing
from runner.host.secrets import redacted_command
from runner.launchers.job import Job
from runner.records.duets import DUET, DuetFile, DuetRound, DuetSide, Role, load_duet, save_duet
from runner.records.manifest import Planned
from runner.records.record import Record, utc_now
from runner.records.store import LOG, save, set_aside
from runner.statistics.sequential import ALPHA, LOOKS, MARGIN, decide
from runner.trial.description import Trial, folder_of
from runner.trial.titles import keys_of

ROLES: tuple[Role, Role] = ("old", "new")
NOT_RECORDED = (
    "its code is not what was recorded: there were uncommitted changes then, or there are now"
)
MAX_PACKAGES = 20  # that differ; beyond that only their number is shown


@dataclass(frozen=True)
class Player:
    """One side with the trial that it runs; `planned` has the trial's names.

    `own_code` is the hash that the user's modules must have, if it is known.
    """

    side: Side
    trial: Trial
    planned: Planned
    own_code: str | None = None


@dataclass(frozen=True)
class Rules:
    """When to look and what to decide; see runner.statistics.sequential."""

    looks: tuple[int, ...] = LOOKS
    alpha: float = ALPHA
    margin: float = MARGIN
    seed: int = 0


class Observer(Protocol):
    """Shows a duet."""

    def begins(self, duet: DuetFile) -> None:
        """It begins, or resumes."""

    def round_ended(self, duet: DuetFile) -> None:
        """It has one more round, or failed."""


class Hosts:
    """The running hosts of some sides; a side whose host has ended gets a new one."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._links: dict[str, Link] = {}
        self._hellos: dict[str, Hello] = {}

    def start(self, *sides: Side) -> None:
        """Start them at once, as loading torch takes seconds. Raises SideFailed."""
        missing = [side for side in sides if not self._is_running(side)]
        for side in missing:
            self._logs.mkdir(parents=True, exist_ok=True)
            log = self._logs / f"side-{len(self._links)}.log"
            self._links[side.identity] = Link(side, log)
        for side in missing:
            self._hellos[side.identity] = self._links[side.identity].hello()

    def link(self, side: Side) -> Link:
        """A running host of the side. Raises SideFailed."""
        self.start(side)
        return self._links[side.identity]

    def hello(self, side: Side) -> Hello:
        """How its host introduced itself."""
        return self._hellos[side.identity]

    def end(self, side: Side) -> None:
        """End the host of a side that is not needed any more."""
        if (link := self._links.pop(side.identity, None)) is not None:
            link.close()

    def _is_running(self, side: Side) -> bool:
        link = self._links.get(side.identity)
        if link is not None and not link.is_open:
            self.end(side)
        return side.identity in self._links

    def close(self) -> None:
        """End all of them."""
        for link in self._links.values():
            link.close()
        self._links.clear()


@contextmanager
def hosts_in(logs: Path) -> Iterator[Hosts]:
    """Hosts that end with the block."""
    hosts = Hosts(logs)
    try:
        yield hosts
    finally:
        hosts.close()


class Duet:
    """The rounds of two players, which lie in a folder and resume there."""

    def __init__(
        self,
        players: Sequence[Player],
        folder: Path,
        rules: Rules,
        hosts: Hosts,
        command: Sequence[str] = (),
    ) -> None:
        self._players, self._folder = tuple(players), folder
        self._rules, self._hosts, self._command = rules, hosts, tuple(command)

    def run(self, observer: Observer, goes_on: Callable[[], bool] = lambda: True) -> DuetFile:
        """Play the rounds that are still needed, while `goes_on`.

        Raises UsageError for the folder of another duet, Unreadable for one whose file is damaged.
        """
        duet = self.begun()
        observer.begins(duet)
        while duet.verdict is None and goes_on():
            duet = self.with_round(duet)
            observer.round_ended(duet)
        return duet

    def with_round(self, duet: DuetFile) -> DuetFile:
        """The duet with one more round, or failed; it is on disk.

        A round in which a side fails is played once more, but the first one is not: what fails at
        once fails again.
        """
        for _ in range(2 if duet.rounds else 1):
            records = self._round(len(duet.rounds))
            if (fault := self._fault(duet, records)) is None:
                break
        duet = self._after(duet, records) if fault is None else _failed(duet, *fault)
        save_duet(duet, self._folder)
        return duet

    def begun(self) -> DuetFile:
        """The file of an earlier start, or a new one; one that failed begins again.

        Raises UsageError and Unreadable as `run` does.
        """
        new = self._new()
        if not (self._folder / DUET).exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            save_duet(new, self._folder)
            return new
        old = load_duet(self._folder)
        before, now = _identity(old), _identity(new)
        for name, value in before.items():
            if value != now[name]:
                found = f"{self._folder} is a duet whose {name} is {value}, not {now[name]}"
                raise UsageError(Problem("sweep.id", found, "give another sweep.id"))
        if old.verdict == DuetVerdict.FAILED:
            return replace(old, verdict=None, why="", failed="")  # try again
        return old

    def _new(self) -> DuetFile:
        rules = self._rules
        old, new = (
            DuetSide(
                name=player.side.name,
                title=player.planned.trial_title,
                key=player.trial.key,
                python=player.side.python,
                words=redacted_command(player.side.words),
                commit=player.side.commit,
            )
            for player in self._players
        )
        return DuetFile(
            duet_id=self._folder.name,
            old=old,
            new=new,
            device=self._players[1].trial.device,
            host=socket.gethostname(),
            seed=rules.seed,
            looks=list(rules.looks),
            alpha=rules.alpha,
            margin=rules.margin,
            planned_at=utc_now(),
            rounds=[],
        )

    def _round(self, number: int) -> list[Record]:
        """Play a round; the records of both sides, which are on disk."""
        from runner.verdict.judge import judged  # imports scipy

        jobs = [self._job(index, number) for index in range(len(self._players))]
        for job in jobs:
            job.record_path.parent.mkdir(parents=True, exist_ok=True)
            set_aside(job.record_path)
        self._hosts.start(*(player.side for player in self._players))
        parts = [
            Part(self._hosts.link(player.side), job.trial, job.record_path.with_name(LOG))
            for player, job in zip(self._players, jobs, strict=True)
        ]
        began_at = utc_now()
        order, first = self._order(number)
        outcomes = play(parts, first, order)
        records = []
        for player, job, outcome in zip(self._players, jobs, outcomes, strict=True):
            environment = self._hosts.hello(player.side).environment
            record = judged(job.record(outcome, environment, began_at))
            save(record, job.record_path)
            records.append(record)
        return records

    def _order(self, number: int) -> tuple[random.Random, int]:
        """The order of a round's blocks, and the index of the side that begins."""
        order = random.Random(f"{self._rules.seed} {number}")
        return order, order.randrange(2)

    def _job(self, index: int, number: int) -> Job:
        player = self._players[index]
        trial, planned = replace(player.trial, repeat=number), player.planned
        planned = replace(
            planned,
            folder=folder_of(planned.key, planned.device, number),
            repeat=number,
            title=f"{planned.trial_title} {ROLES[index]} round {number + 1}",
        )
        where = self._folder / ROLES[index], player.side.folder
        return Job(trial, planned, *where, self._command, self._rules.seed, "process")

    def _fault(self, duet: DuetFile, records: Sequence[Record]) -> tuple[Role, str] | None:
        """The side that spoiled a round, and why; None if both are usable."""
        by_role = dict(zip(ROLES, records, strict=True))
        # one that was interrupted because the other failed is not the cause
        incomplete = [role for role, record in by_role.items() if not record.completed]
        if incomplete:
            cause = min(incomplete, key=lambda one: by_role[one].status == Status.INTERRUPTED)
            return cause, by_role[cause].cause
        for role, record in by_role.items():
            if foreign := record.environment.get("foreign_files"):
                return role, (
                    f"it imported {', '.join(foreign)} from the working tree, not from its commit: "
                    "an editable installation? use python=... with an environment without it"
                )
            own_code = record.environment.get("own_code")
            wanted = self._players[ROLES.index(role)].own_code
            if wanted is not None and own_code != wanted:
                return role, NOT_RECORDED
            if duet.rounds and own_code != getattr(duet, role).own_code:
                return role, "its code was changed while the duet ran; give another sweep.id"
            if record.typical_ms is None:
                return role, record.unfit or "it has no time"
        return None

    def _after(self, duet: DuetFile, records: Sequence[Record]) -> DuetFile:
        """The file with one more round."""
        old, new = records
        done = DuetRound(
            number=len(duet.rounds) + 1,
            first=ROLES[self._order(len(duet.rounds))[1]],
            old_ms=old.typical_ms or math.nan,
            new_ms=new.typical_ms or math.nan,
            began_at=old.started_at,
            verdicts=(str(old.verdict or ""), str(new.verdict or "")),
        )
        rounds = [*duet.rounds, done]
        sides = {
            role: replace(getattr(duet, role), own_code=record.environment.get("own_code"))
            for role, record in zip(ROLES, records, strict=True)
        }
        differs = self._differs(records)
        duet = replace(duet, **sides, rounds=rounds, differs=differs, notes=_notes(rounds))
        if len(rounds) < 2:
            return duet
        rules = self._rules
        found = decide(log_ratios(duet), rules.looks, rules.alpha, rules.margin)
        return replace(
            duet, verdict=found.verdict, ratio=found.ratio, ci=found.ci, spread=found.spread
        )

    def _differs(self, records: Sequence[Record]) -> list[str]:
        """What trials and environments of both sides differ in, packages included."""
        trials = ([keys_of(record.trial)] for record in records)
        environments = ([record.environment] for record in records)
        found = [*map(str, (*differing(*trials), *differing(*environments)))]
        old, new = (self._hosts.hello(player.side).packages for player in self._players)
        named = {line.partition(":")[0] for line in found}
        packages = [
            f"{name}: {old.get(name, 'not installed')} -> {new.get(name, 'not installed')}"
            for name in sorted({*old, *new} - named)
            if old.get(name) != new.get(name)
        ]
        more = len(packages) - MAX_PACKAGES
        rest = [f"and {more} more packages"] if more > 0 else []
        return [*found, *packages[:MAX_PACKAGES], *rest]


def _identity(duet: DuetFile) -> dict[str, object]:
    """What must be equal in two starts of a duet; the names of its sides are not part of it."""
    return {
        **{
            f"{role} {name}": getattr(getattr(duet, role), name)
            for role in ROLES
            for name in ("key", "python", "words", "commit")
        },
        **{
            name: getattr(duet, name)
            for name in ("device", "host", "seed", "looks", "alpha", "margin")
        },
    }


def log_ratios(duet: DuetFile) -> list[float]:
    """The value of each round: log(new / old)."""
    return [math.log(one.new_ms / one.old_ms) for one in duet.rounds]


def _failed(duet: DuetFile, role: Role, why: str) -> DuetFile:
    return replace(duet, verdict=DuetVerdict.FAILED, failed=role, why=why)


def _notes(rounds: Sequence[DuetRound]) -> list[str]:
    """What a reader should know of the numbers."""
    invalid = sum(Verdict.INVALID in one.verdicts for one in rounds)
    if not invalid:
        return []
    return [
        f"{invalid} of {len(rounds)} rounds have an invalid number: the machine was disturbed, "
        "which affects both sides alike and widens the interval"
    ]
