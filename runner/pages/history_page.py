"""One page for all nights: the line of each trial with its intervals, the worst first."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise

import plotly.graph_objects as go

from runner.contract import GateVerdict
from runner.history.nightly import JudgedNight, TrialFinding
from runner.pages.page import Page, Plot, Section
from runner.pages.plot_style import COLOURS, GREY, make_plot
from runner.records.nights import Night
from runner.records.process_summary import DRIVERS, MACHINE, ProcessSummary
from runner.statistics.processes import combine

MAX_DRAWN = 300  # trials
MAX_TICKS = 12
MIN_SPAN = 0.05  # of the vertical axis, as a share of the latency
DATE_LENGTH = len("2026-11-26")
BAD = (GateVerdict.REGRESSION, GateVerdict.FAILED, GateVerdict.MISSING)


def page_of(judgement: JudgedNight, name: str) -> Page:
    """The page of all known nights; `name` is the name of their sweep."""
    nights = judgement.nights
    facts = [
        f"{len(nights)} nights, {nights[0].sweep_id} to {nights[-1].sweep_id}, "
        f"{len(judgement.findings)} trials, the worst first",
        "each point is a night's typical latency, its bar the 95 % interval between processes",
    ]
    if judgement.flagged:
        facts.append("grey crosses: nights not used as a baseline")
    shown = judgement.findings[:MAX_DRAWN]
    sections = [
        Section(_heading(one), plots=(_trend(judgement, one),), anchor=one.identity)
        for one in shown
    ]
    if len(judgement.findings) > MAX_DRAWN:
        rest = len(judgement.findings) - MAX_DRAWN
        sections.append(Section("", (f"{rest} more trials, which passed, are not drawn",)))
    return Page(f"{name}: all nights", tuple(facts), tuple(sections))


def _heading(finding: TrialFinding) -> str:
    ratio = finding.judged.ratio
    change = "" if ratio is None else f" {ratio - 1:+.1%}"
    return f"{finding.title}: {finding.verdict.replace('_', ' ')}{change}"


def _trend(judgement: JudgedNight, finding: TrialFinding) -> Plot:
    nights = judgement.nights
    found = [(night, night.by_trial.get(finding.identity, [])) for night in nights]
    timed = [(night, some) for night, all_ in found if (some := _timed(all_))]
    counted = [(n, some) for n, some in timed if n.sweep_id not in judgement.flagged]
    left_out = [(n, some) for n, some in timed if n.sweep_id in judgement.flagged]
    colour = COLOURS[1] if finding.verdict in BAD else COLOURS[0]
    traces = [
        _points(counted, "nights", {"color": colour, "size": 7}, "lines+markers"),
        _points(left_out, "flagged", {"color": GREY, "symbol": "x", "size": 9}, "markers"),
    ]
    plot = make_plot(
        [trace for trace in traces if len(trace.x)],
        "",
        "",
        "latency (ms)",
        f"{finding.title} over {len(timed)} nights",
        height=260,
        margin={"l": 70, "r": 20, "t": 20, "b": 40},
        showlegend=False,
    )
    days = [_day(night) for night in nights]
    plot.figure.update_xaxes(
        type="date", tickformat="%d %b", tickvals=days[:: max(1, len(days) // MAX_TICKS)]
    )
    times = [one.typical_ms or 0.0 for _, some in timed for one in some]
    if times:  # small noise must not fill the plot
        margin = MIN_SPAN / 2 * statistics.median(times)
        low, high = min(times), max(times)
        middle, half = (low + high) / 2, max(margin, 0.55 * (high - low))
        plot.figure.update_yaxes(range=[middle - half, middle + half])
    for day, what in _segments(timed):
        plot.figure.add_vline(x=day, line={"color": GREY, "dash": "dot"})
        plot.figure.add_annotation(
            x=day, y=1, yref="paper", text=what, showarrow=False, xanchor="left", font={"size": 11}
        )
    if finding.judged.before_ms is not None:
        plot.figure.add_hline(y=finding.judged.before_ms, line={"color": GREY, "width": 1})
    return plot


def _timed(processes: Sequence[ProcessSummary]) -> list[ProcessSummary]:
    return [one for one in processes if one.typical_ms is not None]


def _points(
    nights: Sequence[tuple[Night, Sequence[ProcessSummary]]],
    name: str,
    marker: dict[str, object],
    mode: str,
) -> go.Scatter:
    combined = [combine([one.typical_ms or 0.0 for one in some]) for _, some in nights]
    bounds = [one.ci_ms or (one.median_ms, one.median_ms) for one in combined]
    return go.Scatter(
        x=[_day(night) for night, _ in nights],
        y=[one.median_ms for one in combined],
        error_y={
            "type": "data",
            "array": [b[1] - one.median_ms for one, b in zip(combined, bounds, strict=True)],
            "arrayminus": [one.median_ms - b[0] for one, b in zip(combined, bounds, strict=True)],
            "thickness": 1.2,
            "width": 3,
        },
        mode=mode,
        name=name,
        marker=marker,
        line={"width": 1.5},
        hovertext=[night.sweep_id for night, _ in nights],
    )


def _segments(timed: Sequence[tuple[Night, Sequence[ProcessSummary]]]) -> Iterator[tuple[str, str]]:
    """Nights at which the machine or its driver changed, with the changes."""
    for (_, before), (night, after) in pairwise(timed):
        old, new = before[0].facts, after[0].facts
        changes = [f"{k} {new.get(k)}" for k in MACHINE + DRIVERS if old.get(k) != new.get(k)]
        if changes:
            yield _day(night), ", ".join(changes)


def _day(night: Night) -> str:
    return night.sweep_id[-DATE_LENGTH:]
