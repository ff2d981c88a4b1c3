"""The report of a night, worst first, for people and for programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any
from xml.etree import ElementTree

from runner.contract import GateVerdict
from runner.history.attribution import Attribution, Onset, Step
from runner.history.environment_diff import Changed
from runner.history.nightly import JudgedNight, TrialFinding
from runner.pages.page import Page, Section
from runner.records.nights import Fingerprint, Gate, GateHealth, GateOnset, GateTrial
from runner.records.record import utc_now
from runner.statistics.gate import MIN_NIGHTS
from runner.terminal.figures import number
from runner.terminal.layout import Column

DATED = (GateVerdict.REGRESSION, GateVerdict.SUSPECT)  # verdicts with an onset
HEADINGS = {
    GateVerdict.REGRESSION: "Regressions",
    GateVerdict.SUSPECT: "Suspects",
    GateVerdict.INCONCLUSIVE: "Inconclusive",
    GateVerdict.FAILED: "Failed",
    GateVerdict.MISSING: "Missing",
    GateVerdict.NO_BASELINE: "New, or with a new baseline",
    GateVerdict.IMPROVEMENT: "Improvements",
    GateVerdict.PASS: "Passed",
}
MAX_NAMED = 3  # trials in a line; beyond that only their number is shown
CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # not in XML


@dataclass(frozen=True)
class Report:
    """A judged night and everything its report shows.

    `commits` lists those between two, `link_of` has the page of a trial in MLflow, if any,
    `decided` lets a later night detect edited decisions.
    """

    judgement: JudgedNight
    output_dir: str
    commits: Callable[[str, str], Sequence[str]] = lambda old, new: ()
    link_of: Mapping[str, str] = field(default_factory=dict)
    decided: Fingerprint | None = None
    notes: Sequence[str] = ()

    @cached_property
    def attribution(self) -> Attribution:
        """Since when, and why."""
        return Attribution(self.judgement)

    @cached_property
    def onsets(self) -> Mapping[str, Onset]:
        """Since when trials are slower, by identity."""
        asked = [one.identity for one in self.judgement.findings if one.verdict in DATED]
        found = {identity: self.attribution.onset(identity) for identity in asked}
        return {identity: onset for identity, onset in found.items() if onset is not None}

    @cached_property
    def steps(self) -> Sequence[Step]:
        """The effects of changes of the driver."""
        return list(self.attribution.steps())

    @cached_property
    def changed(self) -> Sequence[Changed]:
        """What differs from the night before."""
        return self.attribution.since_last_night()

    def first_seen(self, identity: str) -> str:
        """The night since which a regression has been reported."""
        first = self.judgement.night.sweep_id
        for night in reversed(self.judgement.before):
            verdict = night.previous_verdicts.get(identity)
            if verdict != GateVerdict.REGRESSION and night.by_trial.get(identity):
                break
            first = night.sweep_id if verdict == GateVerdict.REGRESSION else first
        return first

    def reproduce(self, finding: TrialFinding) -> str | None:
        """The command that runs a trial of tonight again."""
        processes = self.judgement.night.by_trial.get(finding.identity)
        if not processes:
            return None
        folder = f"{self.output_dir}/{self.judgement.night.sweep_id}/{processes[0].folder}"
        return f"python -m runner.reproduce {folder}"


def headline(judgement: JudgedNight) -> str:
    """The night in one line, for a chat message."""
    host = next((one.facts.get("host") for one in judgement.night.processes), None)
    where = f" on {host}" if host else ""
    worst = [one for one in judgement.findings if one.verdict == GateVerdict.REGRESSION]
    named = ", ".join(f"{one.title} {change_of(one)}" for one in worst[:MAX_NAMED])
    more = f" and {len(worst) - MAX_NAMED} more" if len(worst) > MAX_NAMED else ""
    parts = [
        f"{count} {_plural(verdict, count)}"
        f"{f' ({named}{more})' if verdict == GateVerdict.REGRESSION else ''}"
        for verdict, count in judgement.counts.items()
    ]
    outcomes = Counter(one.duet.outcome for one in judgement.findings if one.duet is not None)
    if outcomes:
        named_ = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        parts.append(f"duets: {named_}")
    asks = "; the whole suite changed" if judgement.health.question else ""
    if judgement.creep is not None:
        asks = f"; the whole suite crept by {judgement.creep:+.1%}"
    return f"{judgement.night.sweep_id}{where}: {', '.join(parts) or 'nothing was timed'}{asks}"


def _plural(verdict: GateVerdict, count: int) -> str:
    words = {GateVerdict.NO_BASELINE: "new", GateVerdict.PASS: "passed"}
    word = words.get(verdict, verdict)
    countable = (GateVerdict.REGRESSION, GateVerdict.SUSPECT, GateVerdict.IMPROVEMENT)
    plural = verdict in countable and count > 1
    return f"{word}s" if plural else word


def change_of(finding: TrialFinding) -> str:
    """The change of a trial against its baseline, as a percentage."""
    ratio = finding.judged.ratio
    return "" if ratio is None else f"{ratio - 1:+.1%}".replace("-0.0%", "+0.0%")


def page_of(report: Report) -> Page:
    """The page: the line, the night's health, then the trials, the worst first."""
    judgement = report.judgement
    sections = [Section("Health of the night", tuple(health(report)))]
    for verdict in HEADINGS:
        found = [one for one in judgement.findings if one.verdict == verdict]
        if found:
            sections.append(_section(report, verdict, found))
    return Page(headline(judgement), tuple(facts(judgement)), tuple(sections))


def facts(judgement: JudgedNight) -> Iterator[str]:
    """What ran, where, with which software; nothing for a night without processes."""
    processes = judgement.night.processes
    if not processes:
        return
    first = processes[0].facts
    device = first.get("gpu") or first.get("cpu") or "unknown device"
    trials, minutes = len(judgement.night.by_trial), sum(one.took_s for one in processes) / 60
    yield f"{trials} trials, {len(processes)} processes in {minutes:.1f} min, {device}"
    software = (
        f"{name} {first[name]}" for name in ("torch", "gpu_driver", "cuda") if name in first
    )
    yield ", ".join(software)


def health(report: Report) -> Iterator[str]:
    """The nights it was compared with, and its effect on all trials."""
    judgement, whole = report.judgement, report.judgement.health
    counted = len(judgement.before) - len(judgement.flagged)
    yield f"compared with the {counted} night{'s' if counted != 1 else ''} before it"
    if counted < MIN_NIGHTS:
        yield f"with fewer than {MIN_NIGHTS} nights a trial can be suspect, but not a regression"
    if whole.shift is not None:
        question = (
            ": machine or software? tonight will not be used as a baseline"
            if whole.question
            else ""
        )
        yield f"the whole suite changed by {whole.shift:+.2%}{question}"
    if judgement.creep is not None:
        first, last = judgement.pinned[0], judgement.pinned[-1]
        yield (
            f"the whole suite crept by {judgement.creep:+.2%} since {first} to {last}: machine or "
            "software? --accept '*' or --baseline accepts it"
        )
    if whole.widened > 1.005:
        yield (
            f"trials varied {whole.widened:.2f}x as much as between earlier nights: intervals "
            "are widened"
        )
    if whole.detectable is not None:
        yield f"a slowdown of {whole.detectable:.1%} would be detected in 4 of 5 cases"
    if judgement.pinned:
        first, last = judgement.pinned[0], judgement.pinned[-1]
        yield f"creep is measured against {first if first == last else f'{first} to {last}'}"
    for night, why in judgement.flagged.items():
        yield f"{night} is not used: {why}"
    yield from (
        f"changed since the night before: {one}" for one in _changes(report, report.changed)
    )
    for step in report.steps:
        yield _step(step)
    yield from (*report.notes, *judgement.notes)


def _changes(report: Report, changes: Sequence[Changed]) -> Iterator[str]:
    """Changes, a new commit with what lies between it and the old one."""
    for one in changes:
        yield str(one)
        if one.name == "git_commit" and len(one.before) == len(one.after) == 1:
            yield from (
                f"commit {commit}" for commit in report.commits(one.before[0], one.after[0])
            )


def _step(step: Step) -> str:
    text = ", ".join(map(str, step.changed)) or "the driver"
    pairs = list(zip(step.titles, step.found.trials, strict=True))
    moved = [(title, one) for title, one in pairs if one.verdict in ("slower", "faster")]
    moved.sort(key=lambda pair: -abs(pair[1].ratio - 1))
    named = ", ".join(f"{title} {one.ratio - 1:+.1%}" for title, one in moved[:MAX_NAMED])
    rest = f", and {len(moved) - MAX_NAMED} more" if len(moved) > MAX_NAMED else ""
    shift = f"whole suite {step.found.shift:+.2%}, " if step.found.shift is not None else ""
    verdict = f"{named}{rest}" if moved else f"none of {len(pairs)} trials changed"
    return f"new baseline since {step.night} ({text}): {shift}{verdict}"


def _section(report: Report, verdict: GateVerdict, found: Sequence[TrialFinding]) -> Section:
    lines = [
        line
        for one in found
        for line in (details(report, one) if verdict in DATED else [reason(one)])
        if line
    ]
    if verdict == GateVerdict.PASS:
        lines = [duet_of(one) for one in found if one.duet is not None]
        lines += [f"{len(found)} trial{'s' if len(found) > 1 else ''}, a slowdown of 5 % excluded"]
    columns = _columns(report, found) if any(one.judged.ratio for one in found) else ()
    return Section(HEADINGS[verdict], tuple(lines), columns, folded=verdict == GateVerdict.PASS)


def reason(finding: TrialFinding) -> str:
    """Why a trial has no verdict, or is undecided; empty otherwise."""
    if finding.why:
        return f"{finding.title}: {finding.why}"
    judged = finding.judged
    if finding.verdict == GateVerdict.INCONCLUSIVE and judged.ci is not None and judged.detectable:
        return (
            f"{finding.title}: up to {judged.ci[1] - 1:+.1%} not excluded; such a night detects "
            f"{judged.detectable:.1%}"
        )
    return ""


def duet_of(finding: TrialFinding) -> str:
    """What a duet made of a trial that was found slower; empty if there was none."""
    duet = finding.duet
    return "" if duet is None else f"{finding.title}: duet: {duet.outcome}: {duet.why}"


def details(report: Report, finding: TrialFinding) -> Iterator[str]:
    """Details of a trial that is slower, or was before its duet."""
    pinned, onset = report.judgement.pinned, report.onsets.get(finding.identity)
    crept = f"crept, visible only against {pinned[0]} to {pinned[-1]}; " if finding.creep else ""
    if onset is not None:
        changes = list(_changes(report, onset.changed))
        text = "; ".join(changes) or "no recorded change of the environment"
        yield f"{finding.title}: {crept}began {onset}, last good {onset.before}; {text}"
    elif crept:
        yield f"{finding.title}: {crept}start unknown"
    if finding.duet is not None:
        yield duet_of(finding)
        if finding.duet.because:
            yield f"{finding.title}: because {finding.duet.because}"
        if finding.duet.bisect:
            yield f"{finding.title}: {finding.duet.bisect}"
    if finding.verdict == GateVerdict.REGRESSION:
        yield f"{finding.title}: first seen {report.first_seen(finding.identity)}"
        places = (report.link_of.get(finding.identity), report.reproduce(finding))
        yield from (f"{finding.title}: {place}" for place in places if place)


def _columns(report: Report, found: Sequence[TrialFinding]) -> tuple[Column, ...]:
    judged = [one.judged for one in found]
    onsets = [str(report.onsets.get(one.identity, "")) for one in found]
    intervals = [f"{one.ci[0]:.3f} to {one.ci[1]:.3f}" if one.ci else "" for one in judged]
    return (
        Column("trial", tuple(one.title for one in found), text=True),
        Column("before ms", tuple(number(one.before_ms) for one in judged)),
        Column("tonight ms", tuple(number(one.tonight_ms) for one in judged)),
        Column("ratio", tuple("" if one.ratio is None else f"{one.ratio:.3f}" for one in judged)),
        Column("95 % interval", tuple(intervals), spare=2),
        Column("detects %", tuple(_share(one.detectable) for one in judged), spare=1),
        Column("nights", tuple(str(one.nights) for one in judged), spare=1),
        *([Column("since", tuple(onsets), text=True, spare=3)] if any(onsets) else []),
        Column("verdict", tuple(one.verdict for one in found), text=True),
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def values_of(report: Report, code: int) -> dict[str, Any]:
    """The same for programs: JSON of version 1."""
    judgement, health = report.judgement, report.judgement.health
    gate = Gate(
        night=judgement.night.sweep_id,
        judged_at=utc_now(),
        headline=headline(judgement),
        exit_code=code,
        counts=dict(judgement.counts),
        health=GateHealth(
            nights=[night.sweep_id for night in judgement.before],
            flagged=dict(judgement.flagged),
            pinned=list(judgement.pinned),
            shift=health.shift,
            question=health.question,
            creep=judgement.creep,
            widened=health.widened,
            detectable=health.detectable,
        ),
        changed=list(map(str, report.changed)),
        steps=list(map(_step, report.steps)),
        notes=[*report.notes, *judgement.notes],
        decisions=report.decided,
        trials=[_values_of(report, one) for one in judgement.findings],
    )
    return asdict(gate)


def _values_of(report: Report, finding: TrialFinding) -> GateTrial:
    judged, onset = finding.judged, report.onsets.get(finding.identity)
    return GateTrial(
        **vars(judged)
        | {
            "identity": finding.identity,
            "title": finding.title,
            "verdict": finding.verdict,
            "why": finding.why,
            "creep": finding.creep,
            "duet": finding.duet,
        },
        processes=len(report.judgement.night.by_trial.get(finding.identity, [])),
        onset=None
        if onset is None
        else GateOnset(onset.first, onset.last, onset.before, list(map(str, onset.changed))),
        first_seen=report.first_seen(finding.identity) if finding.verdict in DATED else None,
        reproduce=report.reproduce(finding),
        mlflow=report.link_of.get(finding.identity),
    )


def junit_of(report: Report) -> str:
    """The same for CI systems: a test for each trial."""
    judgement = report.judgement
    kinds = {
        GateVerdict.REGRESSION: "failure",
        GateVerdict.FAILED: "error",
        GateVerdict.MISSING: "error",
        GateVerdict.PASS: "",
    }
    kinds[GateVerdict.IMPROVEMENT] = ""
    counts = judgement.counts
    suite = ElementTree.Element(
        "testsuite",
        name=judgement.night.sweep_id,
        tests=str(len(judgement.findings)),
        failures=str(counts.get(GateVerdict.REGRESSION, 0)),
        errors=str(counts.get(GateVerdict.FAILED, 0) + counts.get(GateVerdict.MISSING, 0)),
        skipped=str(
            sum(
                counts.get(v, 0)
                for v in (GateVerdict.SUSPECT, GateVerdict.INCONCLUSIVE, GateVerdict.NO_BASELINE)
            )
        ),
    )
    for finding in judgement.findings:
        processes = judgement.night.by_trial.get(finding.identity, [])
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname="runner.nightly",
            name=_clean(finding.title),
            time=f"{sum(one.took_s for one in processes):.3f}",
        )
        if kind := kinds.get(finding.verdict, "skipped"):
            lines = [*details(report, finding)] if finding.verdict in DATED else []
            text = f"{finding.verdict} {change_of(finding)} {finding.why}".strip()
            child = ElementTree.SubElement(case, kind, message=_clean(text))
            child.text = _clean("\n".join(lines))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    return CONTROL.sub("?", text)
