"""Judges tonight's trials by earlier nights: which nights count for which trial, and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from runner.contract import GateVerdict
from runner.history.decisions import ALL, Decisions
from runner.records.nights import GateDuet, Night
from runner.records.process_summary import DRIVERS, MACHINE, ProcessSummary
from runner.statistics.difference import SUITE_SHIFT
from runner.statistics.gate import MIN_NIGHTS, TrialVerdict, judge_logs
from runner.statistics.gate import NightVerdict as Health

WINDOW = 14  # nights of a baseline
WEEK = 7  # nights
CREPT = 3  # consecutive nights slower than the pinned ones that count as creep
MAX_INVALID = 0.5  # of a night's processes; with more it is not used as a baseline


@dataclass(frozen=True)
class TrialFinding:
    """The finding about one trial.

    `verdict` is one of the gate's, or failed; `why` explains one that has no figures.
    `judged` has the figures; with `creep` they are against the pinned nights, which alone show it.
    `duet` is what a duet made of it, if there was to be one.
    """

    identity: str
    title: str
    verdict: GateVerdict
    judged: TrialVerdict
    why: str = ""
    creep: bool = False
    duet: GateDuet | None = None

    @property
    def weight(self) -> tuple[int, float]:
        """Sorts the worst findings first."""
        return list(GateVerdict).index(self.verdict), -abs(math.log(self.judged.ratio or 1.0))


@dataclass(frozen=True)
class JudgedNight:
    """A whole night: `before` are all known nights, including those in `flagged`.

    `pinned` are the nights against which creep is measured. `findings` has the worst first.
    `creep` is the change, as a share, of the whole suite since the pinned nights,
    if no single night shows it.
    """

    night: Night
    before: tuple[Night, ...]
    flagged: Mapping[str, str]
    pinned: tuple[str, ...]
    health: Health
    findings: tuple[TrialFinding, ...]
    notes: tuple[str, ...] = ()
    creep: float | None = None

    @property
    def asks(self) -> bool:
        """Whether the whole suite changed: tonight, or little by little."""
        return self.health.question or self.creep is not None

    @property
    def counts(self) -> Mapping[GateVerdict, int]:
        """Number of trials for each verdict, the worst first."""
        found = Counter(one.verdict for one in self.findings)
        return {verdict: found[verdict] for verdict in GateVerdict if found[verdict]}

    @property
    def nights(self) -> tuple[Night, ...]:
        """All nights, tonight last."""
        return (*self.before, self.night)


@dataclass(frozen=True)
class _Past:
    """The nights that count, aligned: the processes of each trial in each night."""

    logs: dict[str, list[np.ndarray]]
    began_s: list[dict[str, list[float]]]
    segments: dict[str, list[int]]


def judge_night(
    tonight: Night, before: Sequence[Night], decisions: Decisions, window: int = WINDOW
) -> JudgedNight:
    """Judge a night by those `before` it, the oldest first."""
    before = [_renamed(night, decisions, tonight) for night in before]
    flagged = dict(_flagged(before, decisions))
    usable = [night for night in before if night.sweep_id not in flagged]
    pinned = _pinned(usable, decisions, window)
    past = _past(usable, tonight, decisions)
    logs = {identity: _logs(found) for identity, found in tonight.by_trial.items()}
    judge = partial(judge_logs, began_s=past.began_s)
    began_s, recent = _began_s(tonight), _last(past.logs, window)
    health = judge(recent, logs, tonight_began_s=began_s, segments=past.segments)
    crept: Mapping[str, TrialVerdict] = {}
    creep = None
    if len(pinned) >= MIN_NIGHTS:
        late = _late(past, logs)
        against = judge(past.logs, late, segments=_against(pinned, usable, past.segments))
        crept = against.trials
        far = against.shift is not None and abs(against.shift) >= SUITE_SHIFT
        creep = against.shift if far and against.question and not health.question else None
    titles = {i: title for night in (*before, tonight) for i, title in night.planned.items()}
    findings = []
    for identity, title in titles.items():
        if identity in tonight.planned or not decisions.about("retire", identity, title):
            one = health.trials.get(identity)
            findings.append(_finding(identity, title, tonight, one, crept.get(identity), past))
    notes = [*tonight.notes, *(note for night in before for note in night.notes)]
    ordered = tuple(sorted(findings, key=lambda one: one.weight))
    names = tuple(night.sweep_id for night in pinned)
    return JudgedNight(tonight, tuple(before), flagged, names, health, ordered, tuple(notes), creep)


def _renamed(night: Night, decisions: Decisions, tonight: Night) -> Night:
    """The night with renamed trials under their new names."""
    now = decisions.renamed(night, tonight.planned)
    if not now:
        return night
    return replace(
        night,
        planned={now.get(i, i): title for i, title in night.planned.items()},
        processes=tuple(
            replace(one, identity=now.get(one.identity, one.identity)) for one in night.processes
        ),
        previous_verdicts={
            now.get(i, i): verdict for i, verdict in night.previous_verdicts.items()
        },
    )


def _flagged(nights: Sequence[Night], decisions: Decisions) -> Iterator[tuple[str, str]]:
    """The nights that are not used as a baseline, and why."""
    for night in nights:
        invalid = sum((one.unfit or "").startswith("invalid") for one in night.processes)
        if night.sweep_id in decisions.flagged:
            yield night.sweep_id, decisions.flagged[night.sweep_id]
        elif night.question and not _agreed(decisions, night):
            yield night.sweep_id, "the whole suite changed"
        elif invalid > MAX_INVALID * len(night.processes):
            yield night.sweep_id, f"{invalid} of {len(night.processes)} processes were invalid"


def _agreed(decisions: Decisions, night: Night) -> bool:
    """Whether a change of all trials is accepted since a night, or one before it."""
    return any(
        entry["accept"] == ALL and entry["since"] <= night.sweep_id
        for entry in decisions.of("accept")
    )


def _pinned(usable: Sequence[Night], decisions: Decisions, window: int) -> list[Night]:
    """The nights against which creep is measured: up to the pinned one, else the first ones."""
    names = [night.sweep_id for night in usable]
    if decisions.baseline is None:
        return list(usable[:window])
    end = sum(name <= decisions.baseline for name in names)
    return list(usable[max(0, end - window) : end])


def _past(usable: Sequence[Night], tonight: Night, decisions: Decisions) -> _Past:
    """What counts of each night for each trial, and how many segments ago it was."""
    names = [*(night.sweep_id for night in usable), tonight.sweep_id]
    logs: dict[str, list[np.ndarray]] = {}
    segments: dict[str, list[int]] = {}
    titles = {i: title for night in (*usable, tonight) for i, title in night.planned.items()}
    for identity, title in titles.items():
        processes = [night.by_trial.get(identity, []) for night in (*usable, tonight)]
        machine = _facts(processes[-1] or next(filter(None, reversed(processes)), []), MACHINE)
        accepted = [entry["since"] for entry in decisions.about("accept", identity, title)]
        ends = [since for since in accepted if since in names]
        verdicts = [
            None
            if any(since <= night.sweep_id for since in accepted)
            else night.previous_verdicts.get(identity)
            for night in usable
        ]
        doubted = _doubted(verdicts)
        logs[identity] = [
            np.empty(0)
            if at in doubted
            else _logs([one for one in found if _facts([one], MACHINE) == machine])
            for at, found in enumerate(processes[:-1])
        ]
        faster = [
            night.sweep_id
            for night in usable
            if night.previous_verdicts.get(identity) == GateVerdict.IMPROVEMENT
        ]
        segments[identity] = _segments(processes, names, {*ends, *faster})
    return _Past(logs, [_began_s(night) for night in usable], segments)


def _doubted(verdicts: Sequence[str | None]) -> set[int]:
    """Nights excluded from the baseline: unaccepted regressions, and the last suspects in a row.

    They may be the beginning of a regression, which must not clear itself; one that a pass
    follows was none.
    """
    found = {at for at, verdict in enumerate(verdicts) if verdict == GateVerdict.REGRESSION}
    for at in range(len(verdicts) - 1, -1, -1):
        if verdicts[at] not in (GateVerdict.SUSPECT, GateVerdict.REGRESSION, None):
            break
        if verdicts[at] == GateVerdict.SUSPECT:
            found.add(at)
    return found


def _segments(
    processes: Sequence[Sequence[ProcessSummary]], names: Sequence[str], begins: Set[str]
) -> list[int]:
    """For each night but the last, the number of baseline changes between it and the last.

    `begins` are nights that start a baseline: an accepted change, an improvement.
    """
    ago, found = 0, []
    drivers = _facts(processes[-1], DRIVERS)
    for at in range(len(names) - 2, -1, -1):
        then = _facts(processes[at], DRIVERS)
        ago += names[at + 1] in begins
        if processes[at] and drivers and then != drivers:
            ago += 1
        drivers = then or drivers
        found.append(ago)
    return found[::-1]


def _facts(processes: Sequence[ProcessSummary], names: Sequence[str]) -> tuple[str | None, ...]:
    """Some facts of a trial's environment; empty if it did not run."""
    return tuple(processes[0].facts.get(name) for name in names) if processes else ()


def _logs(processes: Sequence[ProcessSummary]) -> np.ndarray:
    return np.log([one.typical_ms for one in processes if one.typical_ms is not None])


def _began_s(night: Night) -> dict[str, list[float]]:
    return {
        identity: [one.began_s for one in found if one.typical_ms is not None]
        for identity, found in night.by_trial.items()
    }


def _last(logs: Mapping[str, Sequence[np.ndarray]], window: int) -> dict[str, list[np.ndarray]]:
    """Only the last nights of each trial."""
    found = {}
    for identity, nights in logs.items():
        last = [at for at, values in enumerate(nights) if len(values)][-window:]
        found[identity] = [
            values if at in last else np.empty(0) for at, values in enumerate(nights)
        ]
    return found


def _late(past: _Past, tonight: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The processes of the last nights together: creep is present in each of them."""
    found = {}
    for identity, logs in tonight.items():
        nights = past.logs.get(identity, [])[1 - CREPT :]
        ago = past.segments.get(identity, [])[1 - CREPT :]
        same = [night for night, back in zip(nights, ago, strict=True) if not back]
        found[identity] = np.concatenate([*same, logs])
    return found


def _against(
    pinned: Sequence[Night], usable: Sequence[Night], segments: Mapping[str, Sequence[int]]
) -> dict[str, list[int]]:
    """Segments such that the pinned nights give the level, and all nights its variance.

    A week is a segment, within which creep is negligible.
    """
    names = {night.sweep_id for night in pinned}
    return {
        identity: [
            0 if night.sweep_id in names and not ago else ago + 1 + (len(labels) - at) // WEEK
            for at, (night, ago) in enumerate(zip(usable, labels, strict=True))
        ]
        for identity, labels in segments.items()
    }


def _finding(
    identity: str,
    title: str,
    tonight: Night,
    judged: TrialVerdict | None,
    crept: TrialVerdict | None,
    past: _Past,
) -> TrialFinding:
    """One trial's verdict, including trials that could not be timed."""
    processes = tonight.by_trial.get(identity, [])
    failed = [one for one in processes if one.status != "completed"]
    judged = judged or TrialVerdict(GateVerdict.MISSING)
    found = partial(TrialFinding, identity, title)
    if failed and judged.verdict != GateVerdict.REGRESSION:
        return found(
            GateVerdict.FAILED, judged, f"{len(failed)} of {len(processes)}: {failed[0].unfit}"
        )
    if not processes:
        if identity in tonight.planned:
            return found(GateVerdict.MISSING, judged, "planned, but did not run")
        return found(GateVerdict.MISSING, judged, "not planned; --retire it if that is intended")
    if all(one.typical_ms is None for one in processes):
        return found(
            GateVerdict.INCONCLUSIVE,
            TrialVerdict(GateVerdict.INCONCLUSIVE),
            str(processes[0].unfit),
        )
    if judged.verdict == GateVerdict.NO_BASELINE:
        nights = past.logs.get(identity, [])
        if any(map(len, nights)):
            return found(GateVerdict.NO_BASELINE, judged, "the first night of its new baseline")
        return found(GateVerdict.NO_BASELINE, judged, "no earlier night on this machine has it")
    if (
        crept is not None
        and crept.verdict == GateVerdict.REGRESSION
        and judged.verdict != GateVerdict.REGRESSION
    ):
        return found(GateVerdict.REGRESSION, crept, creep=True)
    return found(judged.verdict, judged)
