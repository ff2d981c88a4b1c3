"""Duets from a command line: its sides prepared, their trials planned, played one by one."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runner.config.grid import is_sweep_wide
from runner.config.settings import Settings
from runner.config.sweep_settings import settings_for
from runner.contract import (
    DuetVerdict,
    Held,
    NoLock,
    Problem,
    SideFailed,
    TrackingUnavailable,
    Unreadable,
    UsageError,
)
from runner.duets.duet import ROLES, Duet, Hosts, Player, Rules, hosts_in, log_ratios
from runner.duets.sides import TREES, Asked, Side, asked, prepared, remove_stale
from runner.duets.why import WHY, explanation_of, load_explanation
from runner.host.secrets import redacted_command
from runner.launchers.device_lock import held
from runner.profiles.match import Explanation
from runner.records.duets import DUET, DuetFile
from runner.records.locks import holder_of, locked
from runner.records.nights import LOCK as NIGHT_LOCK
from runner.records.store import LOCK, write_text_whole
from runner.sweep.plan import Plan
from runner.sweep.planning import plan_of
from runner.terminal.duets import Progress, noise_of, sentence_of
from runner.tracking.store import open_store

PAGE = "duet.html"
ONE_PROCESS = "sweep.repeats=1"  # of each trial: the rounds of a duet are its processes
ENVIRONMENTS = ".environments"  # below output_dir
PrintLine = Callable[[str], object]


@dataclass(frozen=True)
class Prepared:
    """Two sides whose hosts run, and the pairs of trials that they play."""

    settings: Settings
    pairs: tuple[tuple[Player, Player], ...]
    hosts: Hosts
    command: tuple[str, ...]

    def folder(self, pair: tuple[Player, Player]) -> Path:
        """The folder of one duet: that of its trial."""
        return self.settings.sweep_dir / pair[1].trial.folder

    def play(self, pair: tuple[Player, Player], rules: Rules, progress: Progress) -> DuetFile:
        """Play one duet, or resume it. Raises UsageError, SideFailed, Unreadable."""
        duet = Duet(pair, self.folder(pair), rules, self.hosts, self.command)
        return duet.run(progress)


@contextmanager
def prepared_pair(
    old: str, new: str, words: Sequence[str], typed: Sequence[str], print_line: PrintLine
) -> Iterator[Prepared]:
    """Prepare both sides of a duet; on leaving, their processes and checkouts are removed.

    `words` apply to both sides, `typed` is the whole command line.
    Raises UsageError and SideFailed.
    """
    sides = asked(old, "OLD"), asked(new, "NEW")
    if wide := [word for side in sides for word in side.words if is_sweep_wide(word)]:
        found = f"{wide[0]} is given for one side, but applies to the whole duet"
        raise UsageError(Problem("OLD", found, "give it after the two sides"))
    settings = settings_for(words)
    command = tuple(redacted_command(["runner.duet", *typed]))
    with ExitStack() as stack, resumable(settings, command, print_line):
        stack.enter_context(folder_of(settings))
        remove_stale(Path.cwd(), settings.output_dir, is_held)
        made = []
        for role, given in zip(ROLES, sides, strict=True):
            side = side_of(given, role, settings, print_line)
            if side.worktree is not None:
                stack.callback(side.worktree.remove)
            made.append(side)
        hosts = stack.enter_context(hosts_in(settings.sweep_dir))
        hosts.start(*made)
        plans = [planned(side, words, hosts) for side in made]
        pairs = _pairs(made, plans)
        claimed = {one for plan in plans for one in plan.launcher.claims(plan.trials, plan.devices)}
        what = f"duet {settings.sweep_id}"
        stack.enter_context(held(claimed, what, settings.device_lock, print_line))
        yield Prepared(settings, tuple(pairs), hosts, command)


def side_of(side: Asked, role: str, settings: Settings, print_line: PrintLine) -> Side:
    """A prepared side of the duet with these settings. Raises UsageError and SideFailed."""
    environments = settings.output_dir / ENVIRONMENTS
    return prepared(side, role, settings.sweep_dir / TREES, environments, print_line)


def planned(side: Side, words: Sequence[str], hosts: Hosts) -> Plan:
    """The trials of a side, composed in its folder and checked in its environment.

    Raises UsageError, with the name of the side.
    """
    own = {_key(word) for word in side.words} | {"sweep.repeats", "repeat"}
    both = [*(word for word in words if _key(word) not in own), *side.words, ONE_PROCESS]
    try:
        with chdir(side.folder):
            plan = plan_of(both, hosts.link(side).inspect)
        if plan.launcher.devices is not None:
            found = "hydra/launcher runs trials elsewhere, but a duet is played here"
            raise UsageError(Problem("hydra/launcher", found, "omit it"))
    except UsageError as error:
        problems = [
            replace(one, found=f"{side.role} side ({side.name}): {one.found}")
            for one in error.problems
        ]
        raise UsageError(*problems) from error
    return plan


def players_of(side: Side, plan: Plan) -> list[Player]:
    """The trials of a side in the order of their grid, each once."""
    both = zip(plan.trials, plan.planned, strict=True)
    players = {one.identity: Player(side, trial, one) for trial, one in reversed([*both])}
    return list(reversed(players.values()))


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _pairs(sides: Sequence[Side], plans: Sequence[Plan]) -> Iterator[tuple[Player, Player]]:
    """Trials of both sides in the order of their grids. Raises UsageError if one has more."""
    old, new = (players_of(side, plan) for side, plan in zip(sides, plans, strict=True))
    if len(old) != len(new):
        found = f"the old side has {len(old)} trials, the new side {len(new)}"
        raise UsageError(Problem("NEW", found, "expected the same grid on both sides"))
    return zip(old, new, strict=True)


@contextmanager
def resumable(settings: Settings, command: Sequence[str], print_line: PrintLine) -> Iterator[None]:
    """Say how to resume where an interrupt ends the block; `command` has no secrets."""
    try:
        yield
    except KeyboardInterrupt:
        given = any(word.startswith("sweep.id=") for word in command)
        own = [] if given else [f"sweep.id={settings.sweep_id}"]
        print_line(f"interrupted; resume by python -m {shlex.join([*command, *own])}")
        raise


@contextmanager
def folder_of(settings: Settings) -> Iterator[None]:
    """Create the folder of these settings and lock it. Raises UsageError.

    What is refused before anything is planned leaves no folder.
    """
    folder, is_new = settings.sweep_dir, not settings.sweep_dir.exists()
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder / LOCK, f"duet {settings.sweep_id}"))
        except (OSError, NoLock) as error:
            found = f"{folder} can't be used: {error}"
            raise UsageError(Problem("output_dir", found)) from error
        except Held as holder:
            found = f"{settings.sweep_id} is in use by {holder}"
            remedy = "wait for it, or give another id"
            raise UsageError(Problem("sweep.id", found, remedy)) from holder
        try:
            yield
        except UsageError:
            if is_new and not any(folder.rglob("*.json")):
                shutil.rmtree(folder, ignore_errors=True)
            raise


def is_held(worktree: Path) -> bool:
    """Whether a running duet, search or night uses a worktree, by the locks of its folders."""
    folders = list(worktree.parents)[1:4]  # of the duet, of its night, of all results
    locks = [folder / name for folder in folders for name in (LOCK, NIGHT_LOCK)]
    return any(holder_of(lock) for lock in locks)


def explained(
    duet: DuetFile, pair: Sequence[Player], hosts: Hosts, folder: Path, print_line: PrintLine
) -> Explanation | None:
    """Why the sides of a finished duet differ; None if they do not, or can't be profiled."""
    if duet.verdict not in (DuetVerdict.SLOWER, DuetVerdict.FASTER):
        return None
    codes = (duet.old.own_code, duet.new.own_code)
    players = [replace(one, own_code=code) for one, code in zip(pair, codes, strict=True)]
    try:
        return load_explanation(folder) or explanation_of(players, hosts, folder)
    except (SideFailed, Unreadable, OSError) as error:
        print_line(f"note: the change is not explained: {error}")
        return None


def ending(
    duet: DuetFile, folder: Path, settings: Settings, why: Explanation | None = None
) -> Iterator[str]:
    """Write the page of a duet and publish it; the lines that say what it found and where."""
    from runner.pages.duet import page_of
    from runner.pages.page import to_html
    from runner.pages.why import sentence_of as because
    from runner.tracking.duets import publish

    yield sentence_of(duet)
    yield from duet.notes
    if why is not None:
        yield f"because   {because(why)}"
    if noise := noise_of(duet):
        yield f"noise     {noise}"
    yield from (f"differs   {line}" for line in duet.differs)
    page = folder / PAGE
    try:
        write_text_whole(to_html(page_of(duet, log_ratios(duet), why)), page)
        yield f"report    {page}"
    except OSError as error:
        yield f"warning: {page} can't be written: {error.strerror}"
    tracking = settings.tracking
    if tracking.kind == "off":
        return
    try:
        store = open_store(tracking.uri, tracking.experiment, settings.output_dir)
        files = [file for file in (folder / DUET, folder / WHY, page) if file.is_file()]
        yield f"MLflow    {publish(store, duet, sentence_of(duet), files)}"
    except TrackingUnavailable as reason:
        yield f"warning: MLflow is unavailable ({reason}); {folder / DUET} has everything"
