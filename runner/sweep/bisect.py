"""Searches the commit that changed a time: duets of the good commit with others."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runner.config.settings import Settings
from runner.config.sweep_settings import settings_for
from runner.contract import DuetVerdict, Problem, SideFailed, UsageError
from runner.duets.duet import Duet, Hosts, Player, Rules, hosts_in, log_ratios
from runner.duets.sides import (
    Asked,
    Worktree,
    changed_files,
    commit_of,
    commits,
    remove_stale,
    subject_of,
)
from runner.host.secrets import redacted_command
from runner.launchers.device_lock import held
from runner.records.duets import DUET, DuetFile, load_duet
from runner.records.reading import read_values
from runner.records.record import utc_now
from runner.records.store import RECORD, write_whole
from runner.statistics.bisection import SURE, Bisection, Step
from runner.sweep.duets import folder_of, is_held, planned, players_of, resumable, side_of
from runner.terminal.duets import Progress

RESULT = "bisect.json"
VERSION = 1
MAX_ROUNDS = 300  # of a search
LESS = 0.1  # weight of a commit that changes no file that the trial imports
ENDS, CULPRIT = "ends", "culprit"  # folders of the first and of the last duet
ENDLESS = Rules(looks=(MAX_ROUNDS + 1,))  # a search decides by itself


@dataclass(frozen=True)
class Bisected:
    """What a search found: `commits` in one line each, more than one if some do not run.

    `probability` is that one of them did it, `rounds` those that were played between the duets of
    both ends, `ends` and of the culprit with its parent. `why` explains what was not found.
    """

    good: str
    bad: str
    ends: DuetFile
    commits: tuple[str, ...] = ()
    probability: float = 0.0
    rounds: int = 0
    skipped: tuple[str, ...] = ()
    culprit: DuetFile | None = None
    why: str = ""

    @property
    def is_all(self) -> bool:
        """Whether the commit makes the whole change, as far as the two duets can tell."""
        ends, culprit = self.ends.ci, self.culprit and self.culprit.ci
        return not ends or not culprit or (culprit[0] <= ends[1] and ends[0] <= culprit[1])

    @property
    def found(self) -> bool:
        """Whether the search has reached its certainty."""
        return bool(self.commits) and not self.why


class Search:
    """A search, which resumes in its folder, where each commit has a duet with the good one."""

    def __init__(
        self, good: str, bad: str, words: Sequence[str], settings: Settings, progress: Progress
    ) -> None:
        self._here = Path.cwd()
        self._words, self._settings, self._progress = list(words), settings, progress
        self._good = _commit("GOOD", good, self._here)
        self._bad = _commit("BAD", bad, self._here)
        self._commits = commits(self._here, self._good, self._bad)
        if self._good == self._bad:
            raise UsageError(Problem("BAD", f"{good} and {bad} are the same commit"))
        if not self._commits or not self._is_ancestor():
            found = f"{good} is not an ancestor of {bad} along its first parents"
            remedy = "expected an older commit first"
            raise UsageError(Problem("GOOD", found, remedy))
        self._players: dict[str, Player] = {}
        self._skipped: dict[int, str] = {}
        self._claimed: set[str] = set()  # devices
        self._trees: list[Worktree] = []

    def _is_ancestor(self) -> bool:
        return commit_of(self._here, f"{self._commits[0]}^") == self._good

    def run(self) -> Bisected:
        """Search. Raises UsageError, SideFailed and Unreadable."""
        with hosts_in(self._settings.sweep_dir) as hosts:
            try:
                return self._run(hosts)
            finally:
                for tree in self._trees:
                    tree.remove()

    def _run(self, hosts: Hosts) -> Bisected:
        good = self._player(self._good, hosts, "old")
        bad = self._player(self._bad, hosts, "new")
        settings = self._settings
        what = f"bisect {settings.sweep_id}"
        with held(self._claimed, what, settings.device_lock, self._progress.print):
            self._progress.print(f"{len(self._commits)} commits; first, both ends:")
            ends = self._duet((good, bad), ENDS, hosts, Rules()).run(self._progress)
            self._progress.ended()
            found = Bisected(self._good, self._bad, ends)
            if ends.verdict == DuetVerdict.FAILED:
                raise SideFailed(f"the {ends.failed} end does not run: {ends.why}")
            if ends.verdict not in (DuetVerdict.SLOWER, DuetVerdict.FASTER):
                return self._kept(replace(found, why=f"both ends are {ends.verdict}"))
            return self._kept(self._searched(found, good, hosts))

    def _searched(self, found: Bisected, good: Player, hosts: Hosts) -> Bisected:
        ends = found.ends
        values = log_ratios(ends)
        step = Step(sum(values) / len(values), ends.spread or 0.0, len(values))
        bisection = Bisection(len(self._commits), step, self._prior())
        rounds = self._replayed(bisection)
        if rounds:
            self._progress.print(f"resumes after {rounds} rounds")
        while bisection.suspicion(self._skipped).probability < SURE and rounds < MAX_ROUNDS:
            index = bisection.next(self._skipped)
            if index is None:
                break
            value = self._round(index, good, hosts)
            if value is not None:
                bisection.observe(index, value)
                rounds += 1
                self._show(index, value, bisection, rounds)
        suspicion = bisection.suspicion(self._skipped)
        found = replace(
            found,
            commits=tuple(subject_of(self._here, self._commits[one]) for one in suspicion.commits),
            probability=suspicion.probability,
            rounds=rounds,
            skipped=tuple(
                f"{subject_of(self._here, self._commits[index])}: {why}"
                for index, why in sorted(self._skipped.items())
            ),
        )
        if suspicion.probability < SURE:
            return replace(found, why=f"no commit reached {SURE:.0%} in {rounds} rounds")
        return replace(found, culprit=self._checked(suspicion.commits, ends, hosts))

    def _checked(self, suspects: Sequence[int], ends: DuetFile, hosts: Hosts) -> DuetFile | None:
        """The duet of the culprit with its parent: how much of the change it makes."""
        if len(self._commits) == 1:
            return ends  # nothing else lies between them
        if len(suspects) > 1:
            return None
        before = self._commits[suspects[0] - 1] if suspects[0] else self._good
        pair = (
            self._player(before, hosts, "old"),
            self._player(self._commits[suspects[0]], hosts, "new"),
        )
        self._progress.print("the commit and its parent:")
        duet = self._duet(pair, CULPRIT, hosts, Rules()).run(self._progress)
        self._progress.ended()
        return duet

    def _prior(self) -> list[float]:
        """Commits that change no file that the trial imports are less probable."""
        own: set[str] = set()
        for path in (self._settings.sweep_dir / ENDS).glob(f"*/*/{RECORD}"):
            own |= set(read_values(path)["environment"].get("own_files") or ())
        if not own or any(name.startswith("and ") for name in own):  # there are more than recorded
            return [1.0] * len(self._commits)
        names = {Path(file).name for file in own}
        before = [self._good, *self._commits]
        return [
            1.0 if self._touches(names, old, new) else LESS
            for old, new in zip(before, self._commits, strict=False)
        ]

    def _touches(self, names: Set[str], old: str, new: str) -> bool:
        """Whether two commits differ in a file of such a name, or in a configuration file."""
        changed = map(Path, changed_files(self._here, old, new))
        return any(file.name in names or file.suffix in (".yaml", ".yml") for file in changed)

    def _replayed(self, bisection: Bisection) -> int:
        """Observe the rounds of an earlier start; their number."""
        rounds = 0
        for index, commit in enumerate(self._commits):
            folder = self._settings.sweep_dir / commit[:12]
            if not (folder / DUET).exists():
                continue
            duet = load_duet(folder)
            if duet.verdict == DuetVerdict.FAILED:
                self._skipped[index] = duet.why
            for value in log_ratios(duet):
                bisection.observe(index, value)
                rounds += 1
        return rounds

    def _round(self, index: int, good: Player, hosts: Hosts) -> float | None:
        """Play a round of a commit against the good one; None if it does not run."""
        commit = self._commits[index]
        try:
            player = self._player(commit, hosts, "new")
        except (UsageError, SideFailed) as error:
            self._skip(index, str(error))
            return None
        duet = self._duet((good, player), commit[:12], hosts, ENDLESS)
        found = duet.with_round(duet.begun())
        if found.verdict != DuetVerdict.FAILED:
            return log_ratios(found)[-1]
        if found.failed == "old":
            raise SideFailed(f"the good commit does not run any more: {found.why}")
        self._skip(index, found.why)
        return None

    def _skip(self, index: int, why: str) -> None:
        self._skipped[index] = why
        self._progress.print(f"{subject_of(self._here, self._commits[index])}: skipped: {why}")

    def _show(self, index: int, value: float, bisection: Bisection, rounds: int) -> None:
        suspicion = bisection.suspicion(self._skipped)
        best = subject_of(self._here, self._commits[suspicion.commits[-1]])
        self._progress.print(
            f"round {rounds}: {subject_of(self._here, self._commits[index])}: "
            f"{math.expm1(value):+.1%}; most suspect: {best}, {suspicion.probability:.0%}"
        )

    def _player(self, commit: str, hosts: Hosts, role: str) -> Player:
        """A commit that is checked out, with its trial. Raises UsageError and SideFailed."""
        key = f"{role} {commit}"
        for name, other in self._players.items():  # only the current one stays in memory
            if other.side.role == role and name != key:
                hosts.end(other.side)
        if key not in self._players:
            side = side_of(
                Asked(commit[:12], code=commit), role, self._settings, self._progress.print
            )
            if side.worktree is not None:
                self._trees.append(side.worktree)
            hosts.start(side)
            plan = planned(side, self._words, hosts)
            self._claimed |= plan.launcher.claims(plan.trials, plan.devices)
            players = players_of(side, plan)
            if len(players) != 1:
                found = f"{len(players)} trials are given"
                raise UsageError(Problem("words", found, "a search takes one: give single values"))
            self._players[key] = players[0]
        return self._players[key]

    def _duet(self, pair: tuple[Player, Player], name: str, hosts: Hosts, rules: Rules) -> Duet:
        return Duet(pair, self._settings.sweep_dir / name, rules, hosts)

    def _kept(self, found: Bisected) -> Bisected:
        """Write the result. Raises OSError."""
        values = {"version": VERSION, "ended_at": utc_now(), "found": found.found}
        write_whole(values | asdict(found), self._settings.sweep_dir / RESULT)
        return found


def searched(
    good: str, bad: str, words: Sequence[str], typed: Sequence[str], progress: Progress
) -> tuple[Bisected, Path]:
    """Search the commit; the result and its folder. `typed` is the whole command line.

    Raises UsageError, SideFailed, Unreadable.
    """
    settings = settings_for(words)
    command = redacted_command(["runner.bisect", *typed])
    with resumable(settings, command, progress.print), folder_of(settings):
        remove_stale(Path.cwd(), settings.output_dir, is_held)
        return Search(good, bad, words, settings, progress).run(), settings.sweep_dir


def _commit(role: str, revision: str, here: Path) -> str:
    try:
        found = commit_of(here, revision)
    except UsageError as error:
        raise UsageError(Problem(role, f"{role}: {error}")) from error
    assert found is not None  # it is not optional
    return found
