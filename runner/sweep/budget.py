"""A night's budget: the rounds of each trial, planned from the durations of earlier nights."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.config.grid import MAX_ROUNDS
from runner.config.settings import Settings, seconds_of
from runner.contract import Unreadable
from runner.records.manifest import MANIFEST, Planned, load_manifest
from runner.records.nights import load_night, nights_of
from runner.records.process_summary import ProcessSummary
from runner.statistics.budget import rounds_within

LAST = 3  # nights from which the time of a trial is estimated
MAX_NAMED = 3  # trials with extra rounds; beyond that only their number is shown


@dataclass(frozen=True)
class SelectedRounds:
    """The trials of a grid that run, by index, and a note about the selection."""

    indices: tuple[int, ...]
    note: str


def select_rounds(trials: Sequence[Planned], settings: Settings) -> SelectedRounds:
    """The trials of all rounds that fit the budget; a resumed sweep keeps its plan."""
    everything = tuple(range(len(trials)))
    budget = settings.nightly.budget
    if budget is None:
        return SelectedRounds(everything, "")
    if (settings.sweep_dir / MANIFEST).exists():
        return SelectedRounds(_as_planned(trials, settings), "")
    budget_s = seconds_of(budget) or 0.0
    identities = [trial.identity for trial in trials]
    named: dict[str, str] = {}
    for trial in trials:
        named.setdefault(trial.identity, trial.trial_title)
    cost_s, spread = _known(settings)
    known_s = [cost_s[identity] for identity in named if identity in cost_s]
    if not known_s:
        usual = _of_rounds(trials, dict.fromkeys(named, settings.repeats), identities)
        why = "the duration of a trial is unknown without an earlier night"
        return SelectedRounds(usual, f"budget {budget}: {why}, so {settings.repeats} rounds run")
    typical_s = statistics.median(known_s)
    costs = [cost_s.get(identity, typical_s) for identity in named]
    spreads = [spread.get(identity, 0.0) for identity in named]
    most = settings.repeats * MAX_ROUNDS
    rounds = rounds_within(budget_s, costs, spreads, settings.repeats, most)
    planned = dict(zip(named, rounds, strict=True))
    return SelectedRounds(
        _of_rounds(trials, planned, identities),
        _note(planned, costs, budget, budget_s, settings.repeats, named),
    )


def _as_planned(trials: Sequence[Planned], settings: Settings) -> tuple[int, ...]:
    """The trials of an existing sweep, whose own plan counts."""
    try:
        there = {planned.folder for planned in load_manifest(settings.sweep_dir).trials}
    except Unreadable:
        there = set()  # resuming the sweep reports it
    own = [index for index, trial in enumerate(trials) if trial.repeat < settings.repeats]
    kept = [index for index, trial in enumerate(trials) if trial.folder in there]
    return tuple(kept or own)


def _of_rounds(
    trials: Sequence[Planned], rounds: Mapping[str, int], identities: Sequence[str]
) -> tuple[int, ...]:
    return tuple(
        index
        for index, (trial, identity) in enumerate(zip(trials, identities, strict=True))
        if trial.repeat < rounds[identity]
    )


def _known(settings: Settings) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds for a process of each trial, and the spread between processes, a share."""
    found: dict[str, list[list[ProcessSummary]]] = defaultdict(list)
    nights = nights_of(settings.output_dir, settings.name or "nightly")
    for folder in nights[-LAST:]:
        try:
            for identity, processes in load_night(folder).by_trial.items():
                found[identity].append(processes)
        except Unreadable:
            continue  # a night without a plan
    cost_s = {
        identity: statistics.median(one.took_s for processes in nights for one in processes)
        for identity, nights in found.items()
    }
    spread = {}
    for identity, by_night in found.items():
        logs = [[math.log(one.typical_ms) for one in night if one.typical_ms] for night in by_night]
        spreads = [statistics.stdev(night) for night in logs if len(night) > 1]
        if spreads:
            spread[identity] = statistics.median(spreads)
    return cost_s, spread


def _note(
    rounds: Mapping[str, int],
    costs: Sequence[float],
    budget: str,
    budget_s: float,
    usual: int,
    titles: Mapping[str, str],
) -> str:
    """The note about what fits the budget."""
    common, total_s = min(rounds.values()), sum(costs)
    planned_s = sum(cost * count for cost, count in zip(costs, rounds.values(), strict=True))
    text = f"budget {budget}: {_minutes(planned_s)} planned, {common} rounds"
    if total_s > budget_s:
        return (
            f"budget {budget}: not even one round fits ({_minutes(total_s)}); one round runs anyway"
        )
    if common < usual:
        share = budget_s / (usual * total_s)
        return (
            f"{text} of {usual}, which would take {_minutes(usual * total_s)}; {share:.0%} of "
            "the iterations would fit, but another timing.iterations starts a new history"
        )
    more = [titles[identity] for identity, count in rounds.items() if count > common]
    if not more:
        return text
    shown = ", ".join(more[:MAX_NAMED]) if len(more) <= MAX_NAMED else f"{len(more)} trials"
    return f"{text}, up to {max(rounds.values())} for uncertain trials: {shown}"


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
