"""The plots of the pages; series differ by colour, symbol and dash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from runner.contract import Verdict
from runner.history.comparison import Comparison
from runner.pages.page import Plot
from runner.pages.plot_style import (
    COLOURS,
    DASHES,
    GREY,
    colour,
    error_bars,
    interval_of,
    log_axis,
    make_plot,
    marker_of,
)
from runner.records.record import Record
from runner.records.results import Result
from runner.statistics.processes import Ratio
from runner.statistics.shape import FAR, spread
from runner.terminal.figures import number, verdict_label
from runner.trial.titles import short_titles

MAX_BARS = 60
MAX_SERIES = 6  # trials whose samples are drawn
GOODNESS: dict[str, str] = dict(zip(Verdict, (COLOURS[1], COLOURS[4], COLOURS[2]), strict=True))
KINDS = {"faster": (COLOURS[0], "star"), "slower": (COLOURS[1], "square")}
UNDECIDED = (GREY, "circle")


def ranking(rows: Sequence[Result]) -> Plot:
    """The latency of each trial as a bar with its interval, the fastest on top."""
    shown = sorted(rows, key=lambda row: row.typical or 0.0)[:MAX_BARS]
    names = short_titles([row.first.trial for row in rows])
    by_key = {id(row): name for row, name in zip(rows, names, strict=True)}
    values = [row.typical for row in shown]
    bars = go.Bar(
        y=[f"{by_key[id(row)]}: {number(row.typical)} ms" for row in shown],
        x=values,
        orientation="h",
        error_x=error_bars(shown, values),
        marker={
            "color": COLOURS[0],
            "opacity": [1.0 if row.verdict == Verdict.VALID else 0.5 for row in shown],
        },
        hovertext=[row.first.title for row in shown],
    )
    pale = [row for row in shown if row.verdict != Verdict.VALID]
    more = f" (the fastest {MAX_BARS} of {len(rows)})" if len(rows) > MAX_BARS else ""
    plot = make_plot(
        [bars],
        f"Latency in ms with its 95 % interval, fastest first{more}",
        "",
        "",
        "bars of the typical latency of each trial",
        marks=["pale bars: suspect"] if pale else [],
        height=max(260, 120 + 26 * len(shown)),
    )
    plot.figure.update_yaxes(autorange="reversed", type="category")
    return plot


@dataclass(frozen=True)
class Line:
    """Trials that differ only in one number, `places`; `knee` is one of those."""

    name: str
    places: tuple[int, ...]
    rows: tuple[Result, ...]
    knee: int | None = None


def latency_along(lines: Sequence[Line], what: str, title: str, *, log: bool) -> Plot:
    """The latency of each line along its axis, with intervals."""
    traces: list[Any] = []
    for index, line in enumerate(lines):
        values = [row.typical for row in line.rows]
        traces += _line(index, line, values, error_bars(line.rows, values))
    plot = make_plot(
        traces, title, what, "latency (ms), 95 % interval", title, marks=_hollow(lines),
        showlegend=True,
    )  # fmt: skip
    _places(plot, lines, log=log)
    if log:
        rows = [row for line in lines for row in line.rows]
        ends = [end for row in rows for end in (interval_of(row) or ())]
        plot.figure.update_yaxes(**log_axis([*(row.typical for row in rows), *ends]))
    else:
        plot.figure.update_yaxes(rangemode="tozero")
    return plot


def throughput_along(lines: Sequence[Line]) -> Plot:
    """Throughput of each line against the batch size, its knee marked."""
    traces: list[Any] = []
    for index, line in enumerate(lines):
        values = [row.images_per_second for row in line.rows]
        scale = [1000.0 * place for place in line.places]
        traces += _line(index, line, values, error_bars(line.rows, values, scale))
        if line.knee is not None:
            at = line.places.index(line.knee)
            ring = {"symbol": "circle-open", "size": 20, "color": colour(index)}
            traces.append(
                go.Scatter(
                    x=[line.knee], y=[values[at]], mode="markers", marker=ring | {"line_width": 3},
                    name=f"95 % of the best at batch {line.knee}", showlegend=len(lines) == 1,
                )
            )  # fmt: skip
    rings = any(line.knee is not None for line in lines)
    plot = make_plot(
        traces,
        "Throughput against batch size",
        "batch size (images)",
        "images/s, 95 % interval",
        "images a second against batch size, a line each",
        marks=[*(["circled: 95 % of the best throughput"] if rings else []), *_hollow(lines)],
        showlegend=True,
    )
    _places(plot, lines, log=True)
    plot.figure.update_yaxes(rangemode="tozero")
    return plot


def _line(
    index: int, line: Line, values: Sequence[float | None], error: dict[str, Any]
) -> Iterator[Any]:
    """The line through its usable points, and invalid ones as hollow markers beside it."""
    good = [row.usable for row in line.rows]
    marker = marker_of(index)
    titles = [row.first.title for row in line.rows]
    yield go.Scatter(
        x=line.places,
        y=[value if usable else None for value, usable in zip(values, good, strict=True)],
        name=line.name,
        legendgroup=line.name,
        mode="lines+markers",
        connectgaps=True,
        marker=marker,
        line={"color": colour(index), "dash": DASHES[index % len(DASHES)]},
        error_y=error,
        hovertext=titles,
    )
    if not all(good):
        yield go.Scatter(
            x=line.places,
            y=[None if usable else value for value, usable in zip(values, good, strict=True)],
            name=f"{line.name}: invalid",
            legendgroup=line.name,
            showlegend=False,
            mode="markers",
            marker=marker | {"symbol": f"{marker['symbol']}-open", "line": {"width": 2}},
            hovertext=[f"{title}: invalid" for title in titles],
        )


def _hollow(lines: Sequence[Line]) -> list[str]:
    return ["hollow: invalid"] if any(not row.usable for one in lines for row in one.rows) else []


def _places(plot: Plot, lines: Sequence[Line], *, log: bool) -> None:
    """Ticks where there are trials."""
    ticks = sorted({place for line in lines for place in line.places})
    if log:
        plot.figure.update_xaxes(type="log", tickvals=ticks, ticktext=list(map(str, ticks)))


def samples_over_time(records: Sequence[Record], needed: int | None, of: int) -> Plot:
    """Every sample in run order; warm-up, outliers and the needed warm-up are marked.

    `of` is the number of trials from which these records were selected.
    """
    traces = []
    names = short_titles([record.trial for record in records])
    for index, (record, name) in enumerate(zip(records, names, strict=True)):
        values = np.array([*record.warmup_ms, *record.latency_ms])
        timed = values[len(record.warmup_ms) :]
        far = abs(values - np.median(timed)) > FAR * spread(timed)
        far[: len(record.warmup_ms)] = False
        style = {"color": colour(index), "dash": DASHES[index % len(DASHES)], "width": 1.5}
        at = np.arange(1, len(values) + 1)
        traces += [
            go.Scatter(x=at, y=values, name=name, legendgroup=name, mode="lines", line=style),
            go.Scatter(
                x=at[far], y=values[far], name="outlier", legendgroup=name, mode="markers",
                marker={"symbol": "x", "color": colour(index), "size": 9}, showlegend=False,
            ),
        ]  # fmt: skip
    longest = max(len(record.warmup_ms) for record in records)
    marks = [
        *(["grey band: warm-up"] if longest else []),
        *(["x: outliers"] if any(len(trace.x) for trace in traces[1::2]) else []),
        *([] if needed is None else [f"dotted line: a warm-up of {needed} would suffice"]),
        *([f"{len(records)} of {of} trials are drawn"] if len(records) < of else []),
    ]
    plot = make_plot(
        traces,
        "Samples in run order",
        "iteration",
        "latency (ms)",
        "the time of each iteration, warm-up included",
        marks=marks,
        showlegend=True,
    )
    if longest:
        plot.figure.add_vrect(x0=0.5, x1=longest + 0.5, fillcolor=GREY, opacity=0.18, line_width=0)
    if needed is not None:
        plot.figure.add_vline(x=needed + 0.5, line={"color": "#b3261e", "dash": "dot"})
    every = (ms for record in records for ms in (*record.warmup_ms, *record.latency_ms))
    plot.figure.update_yaxes(**log_axis(every))
    return plot


def distribution(records: Sequence[Record], of: int) -> Plot:
    """The timed samples of each trial, some of so many, as a violin with its quartiles."""
    traces = [
        go.Violin(
            y=list(record.latency_ms), name=name, box_visible=True, meanline_visible=True,
            points=False, line_color=colour(index), spanmode="hard",
        )
        for index, (record, name) in enumerate(
            zip(records, short_titles([record.trial for record in records]), strict=True)
        )
    ]  # fmt: skip
    return make_plot(
        traces,
        "Distribution of the timed samples",
        "",
        "latency (ms)",
        "violins of the timed samples of each trial",
        marks=[f"{len(records)} of {of} trials are drawn"] if len(records) < of else [],
        showlegend=False,
    )


def methods(rows: Sequence[Result], faults: Sequence[str]) -> Plot:
    """The article's bars: the mean by each timing method; hover shows its problems."""
    names = short_titles([row.first.trial for row in rows])
    values = [row.first.summary.get("mean_ms") for row in rows]
    verdicts = [verdict_label(row.records).partition(":")[0] for row in rows]
    labels = [f"{number(value)} ms<br>{word}" for value, word in zip(values, verdicts, strict=True)]
    bars = go.Bar(
        x=names,
        y=values,
        marker={
            "color": [GOODNESS.get(word, GREY) for word in verdicts],
            "pattern": {"shape": ["" if word == Verdict.VALID else "/" for word in verdicts]},
        },
        text=labels,
        textposition="outside",
        hovertext=list(faults) if len(faults) == len(rows) else names,
    )
    traces: list[Any] = [bars]
    true = [row.first.figures.get("true_ms") for row in rows]
    if all(true):
        traces.append(
            go.Scatter(
                x=names, y=true, mode="markers", name="true time",
                marker={"symbol": "line-ew-open", "size": 60, "color": "#000000"},
            )
        )  # fmt: skip
    plot = make_plot(
        traces,
        "The same network with different timing methods",
        "timing method",
        "mean latency (ms)",
        "a bar for the mean of each timing method",
        marks=[
            *(["hatched: not valid"] if set(verdicts) - {Verdict.VALID} else []),
            *(["horizontal line: the true time"] if all(true) else []),
        ],
        showlegend=False,
    )
    plot.figure.update_xaxes(type="category")
    plot.figure.update_yaxes(rangemode="tozero")
    return plot


def speed_ups(names: Sequence[str], ratios: Sequence[Ratio]) -> Plot:
    """Speed-ups over eager fp32 with intervals; 1 is no gain."""
    ends = [ratio.ci or (ratio.value, ratio.value) for ratio in ratios]
    kinds = ["faster" if low > 1 else "slower" if high < 1 else "" for low, high in ends]
    return _intervals(
        names,
        [ratio.value for ratio in ratios],
        ends,
        kinds,
        "Speed-up over eager fp32 with its 95 % interval (right of 1: faster)",
    )


def changes(one: Comparison) -> Plot:
    """The ratio of each trial with its interval, the largest changes on top."""
    pairs = one.pairs[:MAX_BARS]
    found = [pair.difference for pair in pairs]
    more = f" ({MAX_BARS} of {len(one.pairs)})" if len(one.pairs) > MAX_BARS else ""
    plot = _intervals(
        short_titles([pair.record.trial for pair in one.pairs])[:MAX_BARS],
        [item.ratio for item in found],
        [item.ci or (item.ratio, item.ratio) for item in found],
        [item.verdict for item in found],
        f"Time after / time before with its 95 % interval (right of 1: slower){more}",
    )
    plot.figure.add_vrect(
        x0=1 - one.threshold, x1=1 + one.threshold, fillcolor=GREY, opacity=0.18, line_width=0
    )
    band = f"grey band: changes below {one.threshold:.1%}, which are ignored"
    return replace(plot, marks="; ".join(filter(None, (plot.marks, band))))


def _intervals(
    names: Sequence[str],
    values: Sequence[float],
    ends: Sequence[tuple[float, float]],
    kinds: Sequence[str],
    title: str,
) -> Plot:
    """Ratios with their intervals, one below the other, and a line at 1."""
    points = go.Scatter(
        x=values,
        y=list(range(len(values))),
        mode="markers+text",
        text=[f"{value:.3g}" for value in values],
        textposition="top center",
        marker={
            "size": 11,
            "color": [KINDS.get(kind, UNDECIDED)[0] for kind in kinds],
            "symbol": [KINDS.get(kind, UNDECIDED)[1] for kind in kinds],
        },
        hovertext=[f"{name}: {kind}" for name, kind in zip(names, kinds, strict=True)],
        error_x={
            "type": "data",
            "array": [high - value for (_, high), value in zip(ends, values, strict=True)],
            "arrayminus": [value - low for (low, _), value in zip(ends, values, strict=True)],
            "color": "#57606a",
        },
    )
    alt = "ratios with their intervals: " + ", ".join(
        f"{name} {value:.3g}" for name, value in zip(names, values, strict=True)
    )
    height = max(200, 90 + 40 * len(values))
    marks = [
        *(["blue star: faster"] if "faster" in kinds else []),
        *(["red square: slower"] if "slower" in kinds else []),
        *(["grey circle: no significant change"] if set(kinds) - set(KINDS) else []),
    ]
    plot = make_plot([points], title, "", "", alt, marks=marks, height=height, showlegend=False)
    plot.figure.add_vline(x=1, line_width=1)
    # two trials may have the same name, so positions are numbers
    ticks = {"tickvals": list(range(len(values))), "ticktext": list(names)}
    plot.figure.update_yaxes(range=[len(values) - 0.5, -0.8], showgrid=False, **ticks)
    return plot


def against_cost(rows: Sequence[Result]) -> Plot:
    """Latency against FLOPs of a pass."""
    models = list(dict.fromkeys(row.first.trial.model.label for row in rows))
    traces = []
    for index, model in enumerate(models):
        own = [row for row in rows if row.first.trial.model.label == model]
        values = [row.typical for row in own]
        traces.append(
            go.Scatter(
                x=[row.first.figures["gflop"] for row in own],
                y=values,
                mode="markers",
                name=model,
                marker=marker_of(index),
                error_y=error_bars(own, values),
                hovertext=[row.first.title for row in own],
            )
        )
    plot = make_plot(
        traces,
        "Latency against FLOPs: lower right is efficient",
        "GFLOP a pass",
        "latency (ms)",
        "latency against floating point operations of a pass, a colour for each model",
        showlegend=True,
    )
    plot.figure.update_xaxes(**log_axis(row.first.figures["gflop"] for row in rows))
    plot.figure.update_yaxes(**log_axis(row.typical for row in rows))
    return plot
