"""Confirms what a night found slower: a duet of tonight's state against the last good one."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from runner.config.settings import Settings, seconds_of
from runner.contract import (
    Confirmation,
    DuetVerdict,
    GateVerdict,
    RunnerError,
    Unavailable,
    Unreadable,
    duration,
)
from runner.duets.duet import Duet, Hosts, Player, Rules, hosts_in
from runner.duets.sides import Asked, Side
from runner.duets.why import load_explanation
from runner.history.attribution import Onset
from runner.history.nightly import JudgedNight, TrialFinding
from runner.launchers.device_lock import held
from runner.records.duets import DUET, DuetFile, load_duet
from runner.records.nights import GateDuet, Night
from runner.statistics.gate import CONFIRMED, EXCLUDED, to_confirm
from runner.sweep.duets import ending, explained
from runner.sweep.plan import Plan
from runner.sweep.planning import plan_of
from runner.sweep.states import SAME, check_packages, restored, state_of
from runner.terminal.duets import sentence_of

DUETS = "duets"  # in the folder of a night
PrintLine = Callable[[str], object]


@dataclass(frozen=True)
class State:
    """The last good state of a trial, from what its night recorded.

    `differs`: anything recorded differs from tonight's code and packages.
    """

    night: str
    facts: Mapping[str, str]
    asked: Asked
    differs: bool


class _Silent:
    """An observer of duets that shows nothing between their first and last line."""

    def begins(self, duet: DuetFile) -> None:
        """See runner.duets.duet.Observer."""

    def round_ended(self, duet: DuetFile) -> None:
        """See runner.duets.duet.Observer."""


def confirmed(
    judgement: JudgedNight,
    onsets: Mapping[str, Onset],
    words: Sequence[str] | None,
    settings: Settings,
    print_line: PrintLine,
) -> JudgedNight:
    """The night with its regressions and suspects confirmed, cleared, or neither; worst first.

    `onsets` name the last good nights, `words` are those of the night; without them nothing is
    run, and only duets of an earlier start count.
    """
    budget_s = seconds_of(settings.nightly.confirm_budget) or 0.0
    worth = to_confirm(
        {one.identity: replace(one.judged, verdict=one.verdict) for one in judgement.findings}
    )
    chosen = [one for one in judgement.findings if one.identity in worth]
    if not chosen or (words is not None and not budget_s):
        return judgement
    rules = Rules(alpha=Rules().alpha / len(chosen))  # divided among all duets of the night
    folder = settings.output_dir / judgement.night.sweep_id / DUETS
    until_s = time.monotonic() + budget_s
    found: dict[str, TrialFinding] = {}
    stage: _Stage | None = None
    with ExitStack() as stack:
        if words is not None:
            names = ", ".join(one.title for one in chosen[:3]) + (", ..." if chosen[3:] else "")
            print_line(
                f"confirming {len(chosen)} by duets against the last good state, for up to "
                f"{duration(budget_s)}: {names}"
            )
            stage = _Stage(words, settings, folder, rules, print_line, stack)
        for one in chosen:
            good = _last_good(judgement, one, onsets.get(one.identity))
            duet = _duet_of(judgement.night, one, good, stage, settings, until_s)
            if duet is None:
                continue
            if duet.outcome == Confirmation.UNAVAILABLE and one.verdict not in CONFIRMED:
                continue  # a doubtful trial was not reported as slower, so there is nothing to add
            found[one.identity] = _judged(one, duet)
            if words is not None:
                print_line(f"{one.title}: {duet.outcome}: {duet.why}")
    findings = [found.get(one.identity, one) for one in judgement.findings]
    return replace(judgement, findings=tuple(sorted(findings, key=lambda one: one.weight)))


def _duet_of(
    tonight: Night,
    finding: TrialFinding,
    good: Night | None,
    stage: _Stage | None,
    settings: Settings,
    until_s: float,
) -> GateDuet | None:
    """What a duet against a good night says of one trial; None if there was none."""
    if good is None:
        return GateDuet(Confirmation.UNAVAILABLE, why="no earlier night has a usable result of it")
    place = settings.output_dir / tonight.sweep_id / DUETS / finding.identity
    if stage is None and not (place / DUET).exists():
        return None
    try:
        state = old_state(tonight, good, finding.identity, settings.nightly.old)
        if stage is None:
            duet = load_duet(place)
        elif time.monotonic() >= until_s:
            raise Unavailable("nightly.confirm_budget was used up by worse ones")
        else:
            duet = stage.play(finding, state, place, tonight, until_s)
        if duet.verdict == DuetVerdict.FAILED:
            raise Unavailable(sentence_of(duet))
    except (RunnerError, OSError) as error:
        return GateDuet(Confirmation.UNAVAILABLE, good.sweep_id, why=str(error))
    found = outcome_of(finding, duet, state, str(place))
    if found.outcome != Confirmation.CONFIRMED:
        return found
    return replace(
        found,
        because=_because(place),
        bisect=_bisection(tonight, finding.identity, state, settings),
    )


def _because(place: Path) -> str:
    """The operators that make the change; empty if the sides could not be profiled."""
    from runner.pages.why import sentence_of as because

    try:
        found = load_explanation(place)
    except Unreadable:
        return ""
    return "" if found is None else because(found)


def _bisection(tonight: Night, identity: str, state: State, settings: Settings) -> str | None:
    """The command that finds the commit; None where the code is not what differs."""
    if state.asked.code is None:
        return None
    process = tonight.by_trial[identity][0]
    now = process.facts.get("git_commit", "HEAD")
    where = settings.output_dir / tonight.sweep_id / process.folder
    return f"python -m runner.bisect {state.asked.code[:12]} {now[:12]} --of {where}"


def _last_good(judgement: JudgedNight, finding: TrialFinding, onset: Onset | None) -> Night | None:
    """The last night before the slowdown that has the trial."""
    named = onset.before if onset is not None else None
    if named is None and finding.creep and judgement.pinned:
        named = judgement.pinned[-1]
    nights = [
        night
        for night in judgement.before
        if night.sweep_id not in judgement.flagged
        and any(one.typical_ms is not None for one in night.by_trial.get(finding.identity, []))
        and night.previous_verdicts.get(finding.identity) not in CONFIRMED
    ]
    return next((one for one in nights if one.sweep_id == named), nights[-1] if nights else None)


def old_state(tonight: Night, good: Night, identity: str, old_python: str | None) -> State:
    """The state of a trial in a good night, as a side of a duet. Raises Unavailable."""
    now, then = (dict(night.by_trial[identity][0].facts) for night in (tonight, good))
    here = socket.gethostname()
    if now.get("host", here) != here:
        raise Unavailable(f"the night ran on {now['host']}, this is {here}")
    asked = state_of(then, now, old_python)
    return State(good.sweep_id, then, asked, asked.name != SAME)


class _Stage:
    """What the duets of one night share: the plan, and hosts and checkouts until `stack` closes."""

    def __init__(
        self,
        words: Sequence[str],
        settings: Settings,
        folder: Path,
        rules: Rules,
        print_line: PrintLine,
        stack: ExitStack,
    ) -> None:
        self._words, self._settings, self._folder = list(words), settings, folder
        self._rules, self._print_line, self._stack = rules, print_line, stack
        self._plan: Plan | None = None
        self._hosts: Hosts | None = None

    def play(
        self, finding: TrialFinding, state: State, place: Path, tonight: Night, until_s: float
    ) -> DuetFile:
        """Play a duet, or resume it. Raises Unavailable and other errors of the program."""
        rules = self._rules
        if (place / DUET).exists():
            earlier = load_duet(place)
            if earlier.verdict not in (None, DuetVerdict.FAILED):
                return earlier
            rules = replace(rules, alpha=earlier.alpha)  # as many were to be confirmed then
        plan, hosts = self._begun()
        numbers = [n for n, one in enumerate(plan.planned) if one.identity == finding.identity]
        if not numbers:
            raise Unavailable("tonight's command does not plan it")
        trial, planned = plan.trials[numbers[0]], plan.planned[numbers[0]]
        now = tonight.by_trial[finding.identity][0].facts
        new = Side("new", "tonight")
        old = self._side(state.asked)
        hosts.start(old, new)
        check_packages(hosts.hello(old), old, state.facts)
        players = [
            Player(side, trial, planned, facts.get("own_code"))
            for side, facts in ((old, state.facts), (new, now))
        ]
        with held(
            plan.launcher.claims([trial], plan.devices),
            f"duets of {tonight.sweep_id}",
            self._settings.device_lock,
            self._print_line,
        ):
            duet = Duet(players, place, rules, hosts)
            found = duet.run(_Silent(), lambda: time.monotonic() < until_s)
        why = explained(found, players, hosts, place, self._print_line)
        for line in ending(found, place, self._settings, why):
            if line.startswith("warning"):
                self._print_line(line)
        return found

    def _begun(self) -> tuple[Plan, Hosts]:
        if self._plan is None or self._hosts is None:
            self._plan = plan_of(self._words)
            if self._plan.launcher.devices is not None:
                raise Unavailable("its trials run elsewhere, by hydra/launcher")
            self._hosts = self._stack.enter_context(hosts_in(self._folder))
        return self._plan, self._hosts

    def _side(self, asked: Asked) -> Side:
        side = restored(asked, "old", self._folder, self._settings.output_dir, self._print_line)
        if side.worktree is not None:
            self._stack.callback(side.worktree.remove)
        return side


def outcome_of(finding: TrialFinding, duet: DuetFile, state: State, folder: str) -> GateDuet:
    """What a duet makes of a trial that was found slower."""
    slow = still_slow(finding, duet)
    outcome, why = _outcome(duet, state, slow)
    return GateDuet(
        outcome=outcome,
        since=state.night,
        old=state.asked.name,
        ratio=duet.ratio,
        ci=duet.ci,
        rounds=len(duet.rounds),
        why=why,
        still_slow=bool(slow),
        folder=folder,
    )


def _outcome(duet: DuetFile, state: State, slow: str) -> tuple[Confirmation, str]:
    against = f"against {state.asked.name} of {state.night}: {sentence_of(duet)}"
    if duet.verdict is None or duet.ci is None:
        return Confirmation.UNDECIDED, f"{against}, within nightly.confirm_budget"
    if not state.differs:
        if slow:
            return Confirmation.UNDECIDED, (
                f"it is still slow ({slow}), but neither its code nor a package differs from "
                f"{state.night}: the machine?"
            )
        return Confirmation.CLEARED, f"timed again, it is as fast as before: {sentence_of(duet)}"
    if duet.verdict == DuetVerdict.SLOWER:
        return Confirmation.CONFIRMED, against
    if duet.verdict in (DuetVerdict.SAME, DuetVerdict.FASTER):
        also = f"; but the old state is slow now, too ({slow}): the machine?" if slow else ""
        return Confirmation.CLEARED, against + also
    return Confirmation.UNDECIDED, against


def still_slow(finding: TrialFinding, duet: DuetFile) -> str:
    """Both times, if even the old state takes longer now than before; empty if it does not.

    Longer is more than half of what the night found, and more than the duet's margin.
    """
    level_ms, change = finding.judged.before_ms, finding.judged.ratio
    if level_ms is None or change is None or not duet.rounds:
        return ""
    now_ms = median(one.old_ms for one in duet.rounds)
    limit = max(1 + duet.margin, math.sqrt(max(change, 1.0)))
    return f"{now_ms:.4g} ms, before {level_ms:.4g} ms" if now_ms / level_ms > limit else ""


def _judged(finding: TrialFinding, duet: GateDuet) -> TrialFinding:
    """The finding with the verdict that its duet leaves it.

    Without a finished duet, or where only the machine can be the cause, it keeps its own.
    """
    verdict = finding.verdict
    if duet.outcome == Confirmation.CONFIRMED:
        verdict = GateVerdict.REGRESSION
    elif duet.outcome == Confirmation.CLEARED:
        verdict = GateVerdict.SUSPECT if duet.still_slow else GateVerdict.PASS
    elif duet.rounds >= Rules().looks[-1] and not duet.still_slow:
        excluded = duet.ci is not None and duet.ci[1] < 1 + EXCLUDED
        doubt = GateVerdict.SUSPECT if finding.verdict in CONFIRMED else finding.verdict
        verdict = GateVerdict.PASS if excluded else doubt
    return replace(finding, verdict=verdict, duet=duet)
