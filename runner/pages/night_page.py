"""night.html: a headline, one row for each trial, the worst first, and the rest folded."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from html import escape

from runner.contract import GateVerdict
from runner.history.attribution import Onset
from runner.history.nightly import TrialFinding
from runner.pages.nightly import (
    Report,
    change_of,
    details,
    facts,
    headline,
    health,
    reason,
)
from runner.pages.page import Page, Rich, Section
from runner.terminal.figures import alike
from runner.terminal.layout import Column

WIDTH, HEIGHT, EDGE = 140, 32, 4  # of a trend, in pixels
MIN_SPAN = 0.05  # of its height, as a share of the latency: small noise must not fill it
_DATE = re.compile(r"\S*?(?=\d{4}-\d\d-\d\d)")  # the name of a night before its date
BAD = (GateVerdict.REGRESSION, GateVerdict.SUSPECT)


def night_page(report: Report, history: str) -> Page:
    """The page; `history` is the address of the page of all nights, as seen from this one."""
    judgement = report.judgement
    found = judgement.findings
    legend = LEGEND + (DUET_LEGEND if any(one.duet for one in found) else "")
    sections = [Section("", tuple(_urgent(report)), _columns(report, found, history), (), legend)]
    explained = [line for one in found for line in (*details(report, one), reason(one)) if line]
    if explained:
        sections.append(Section("Why, trial by trial", tuple(explained), folded=True))
    sections.append(Section("Health of the night", tuple(health(report)), folded=True))
    return Page(headline(judgement), tuple(facts(judgement)), tuple(sections))


LEGEND = (
    "change: tonight's time against the baseline, with its 95 % interval; trend: the last nights, "
    "the point is tonight, the dashed line the baseline; copy: the command that runs the trial "
    "again"
)


def _urgent(report: Report) -> Sequence[str]:
    """What concerns the whole suite."""
    return [line for line in health(report) if line.startswith("the whole suite") and "?" in line]


def _columns(report: Report, found: Sequence[TrialFinding], history: str) -> tuple[Column, ...]:
    judged = [one.judged for one in found]
    intervals = (f"{100 * (b[0] - 1):+.1f} to {100 * (b[1] - 1):+.1f} %" if b else "" for b in
                 (one.ci for one in judged))  # fmt: skip
    onsets = [report.onsets.get(one.identity) for one in found]
    changed = [
        "; ".join([*_because(one), *map(str, onset.changed if onset else ())])
        for one, onset in zip(found, onsets, strict=True)
    ]
    columns = [
        Column("verdict", tuple(one.verdict.replace("_", " ") for one in found), text=True),
        Column("trial", tuple(one.title for one in found), text=True),
        Column("change", tuple(map(change_of, found))),
        Column("95 % CI", tuple(intervals)),
        Column(
            "duet", tuple(str(one.duet.outcome) if one.duet else "" for one in found), text=True
        ),
        Column("tonight ms", _times([one.tonight_ms for one in judged])),
        Column("trend", tuple(_trend(report, one) for one in found), text=True),
        Column("since", tuple(map(_since, onsets)), text=True),
        Column("changed then", tuple(changed), text=True),
        Column("more", tuple(_links(report, one, history) for one in found), text=True),
    ]
    return tuple(one for one in columns if one.name in ALWAYS or any(one.cells))


DUET_LEGEND = "; duet: tonight's state, timed in turns with the last good one"
ALWAYS = ("verdict", "trial", "change")


def _because(finding: TrialFinding) -> list[str]:
    """The operators that make a confirmed change."""
    return [finding.duet.because] if finding.duet and finding.duet.because else []


def _outcome(finding: TrialFinding) -> str:
    return "" if finding.duet is None else str(finding.duet.outcome)


def _since(onset: Onset | None) -> str:
    """The night a slowdown began, in HTML by its date alone."""
    text = str(onset or "")
    return Rich(text, f'<span title="{escape(text)}">{escape(_DATE.sub("", text))}</span>')


def _times(values: Sequence[float | None]) -> tuple[str, ...]:
    return tuple("" if cell == "-" else cell for cell in alike(values))


def _trend(report: Report, finding: TrialFinding) -> str:
    """A small plot of the trial's typical times, night by night."""
    nights = [night.by_trial.get(finding.identity, []) for night in report.judgement.nights]
    times = [
        statistics.median(known)
        for some in nights
        if (known := [one.typical_ms for one in some if one.typical_ms is not None])
    ]
    if len(times) < 2:
        return ""
    level = finding.judged.before_ms or times[-1]
    margin = MIN_SPAN * level
    low, high = min([*times, level]) - margin / 2, max([*times, level]) + margin / 2
    step = (WIDTH - 2 * EDGE) / (len(times) - 1)

    def y(value: float) -> float:
        return EDGE + (HEIGHT - 2 * EDGE) * (high - value) / (high - low)

    points = " ".join(f"{EDGE + at * step:.1f},{y(ms):.1f}" for at, ms in enumerate(times))
    bad = ' class="bad"' if finding.verdict in BAD else ""
    text = f"{len(times)} nights: {times[0]:.4g} to {times[-1]:.4g} ms"
    return Rich(
        text,
        f'<svg class="trend" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text}">'
        f'<line x1="0" x2="{WIDTH}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
        f'<polyline points="{points}"/>'
        f'<circle{bad} cx="{EDGE + (len(times) - 1) * step:.1f}" cy="{y(times[-1]):.1f}" r="3"/>'
        "</svg>",
    )


def _links(report: Report, finding: TrialFinding, history: str) -> str:
    """Links to the trial in MLflow and on the page of all nights, and its command to copy."""
    pages = {"history": f"{history}#{finding.identity}"}
    if run := report.link_of.get(finding.identity):
        pages = {"MLflow": run, **pages}
    if finding.duet is not None and finding.duet.rounds:
        pages = {"duet": f"duets/{finding.identity}/duet.html", **pages}
    shown = [f'<a href="{escape(page)}">{name}</a>' for name, page in pages.items()]
    if command := report.reproduce(finding):
        title = escape(command)
        shown.append(f'<button data-copy="{title}" title="{title}">copy</button>')
    return Rich(", ".join(pages), f"<span>{' '.join(shown)}</span>")
