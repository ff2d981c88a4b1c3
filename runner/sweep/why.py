"""Profiles both sides of a comparison, in the states that their records name."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from runner.contract import RunnerError, Unavailable
from runner.duets.duet import Hosts, Player, hosts_in
from runner.duets.why import explanation_of
from runner.history.comparison import Comparison, Pair
from runner.host.environment import host_environment
from runner.host.secrets import HIDDEN
from runner.profiles.match import Explanation
from runner.records.locks import locked
from runner.records.manifest import Planned
from runner.records.process_summary import process_summary_of
from runner.records.record import Record
from runner.records.store import LOCK
from runner.sweep.states import SAME, check_packages, restored, state_of

FOLDER = ".why"  # below output_dir
CHANGED = ("slower", "faster")
MAX_PAIRS = 3  # trials, the most changed ones


@dataclass(frozen=True)
class Why:
    """Why one trial of a comparison changed; or why that is unknown."""

    title: str
    found: Explanation | None
    unknown: str = ""


def explanations(
    comparison: Comparison, output_dir: Path, print_line: Callable[[str], object]
) -> Iterator[Why]:
    """Why the trials that changed most did so, each profiled on both sides."""
    pairs = [pair for pair in comparison.pairs if pair.difference.verdict in CHANGED]
    if not pairs:
        return
    folder = output_dir / FOLDER
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(folder / LOCK, "runner.compare --why", print_line))
        hosts = stack.enter_context(hosts_in(folder))
        for pair in pairs[:MAX_PAIRS]:
            title = pair.record.title
            try:
                players = _players(pair, folder, output_dir, hosts, stack, print_line)
                place = folder / pair.record.identity
                yield Why(title, explanation_of(players, hosts, place))
            except (RunnerError, OSError) as error:
                yield Why(title, None, str(error))
    if len(pairs) > MAX_PAIRS:
        names = ", ".join(pair.record.title for pair in pairs[MAX_PAIRS:][:MAX_PAIRS])
        yield Why(names, None, f"only the {MAX_PAIRS} largest changes are profiled")


def _players(
    pair: Pair,
    folder: Path,
    output_dir: Path,
    hosts: Hosts,
    stack: ExitStack,
    print_line: Callable[[str], object],
) -> Sequence[Player]:
    """Both sides of a pair, running. Raises Unavailable, UsageError and SideFailed."""
    found = []
    for role, records in (("old", pair.before), ("new", pair.after)):
        record = records[0]
        facts, here = _facts(record), host_facts()
        if "own_code" in facts:  # the code that is here now may be any: its commit is checked out
            del here["git_commit"]
        asked = state_of(facts, here, None)
        if asked.name == SAME:
            asked = replace(asked, name=role)
        side = restored(asked, role, folder, output_dir, print_line)
        if side.worktree is not None:
            stack.callback(side.worktree.remove)
        hosts.start(side)
        check_packages(hosts.hello(side), side, facts)
        planned = Planned(
            record.folder,
            record.key,
            record.repeat,
            record.title,
            record.trial.device,
            trial_title=record.trial_title,
        )
        found.append(Player(side, record.trial, planned, facts.get("own_code")))
    return found


def _facts(record: Record) -> dict[str, str]:
    """The recorded software. Raises Unavailable if it can't be that of this machine."""
    facts = dict(process_summary_of(record).facts)
    here = socket.gethostname()
    if facts.get("host", here) != here:
        raise Unavailable(f"{record.title} ran on {facts['host']}, this is {here}")
    if facts.get("own_code") and facts.get("git_dirty") == "True":
        raise Unavailable(f"{record.title} ran with uncommitted changes, which are not recorded")
    if HIDDEN in str(record.trial):
        raise Unavailable(f"{record.title} needs a secret, which is never stored")
    return facts


def host_facts() -> dict[str, str]:
    """The software that is in force here."""
    found = host_environment(Path.cwd())
    return {name: str(value) for name, value in found.items() if value is not None}
