"""The plots of the pages; series differ by colour, symbol and dash.

The colours are Okabe and Ito's (2008), which colour-blind people can distinguish.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from runner.contract import Verdict
from runner.history.comparison import Comparison
from runner.pages.page import Plot
from runner.records.record import Record
from runner.records.results import Result
from runner.statistics.processes import Ratio
from runner.statistics.shape import FAR, spread
from runner.terminal.figures import number, verdict_label
from runner.trial.labels import short_titles

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
MOST_BARS = 60
MOST_SERIES = 6  # trials whose samples are drawn
GREY = "#8c959f"
GOODNESS: dict[str, str] = dict(zip(Verdict, (COLOURS[1], COLOURS[4], COLOURS[2]), strict=True))
KINDS = {"faster": (COLOURS[0], "star"), "slower": (COLOURS[1], "square")}
UNDECIDED = (GREY, "circle")


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _marker(index: int) -> dict[str, Any]:
    return {"color": _colour(index), "symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8}


def make_plot(traces: Sequence[Any], title: str, x: str, y: str, alt: str, **layout: Any) -> Plot:
    """Traces with axes titled `x` and `y`, in the shared style."""
    axis = {"automargin": True, "gridcolor": "#e6e9ec", "zeroline": False, "linecolor": GREY}
    common = {
        "title": {"text": title, "font": {"size": 16}, "x": 0.03, "xanchor": "left"},
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1b1f24"},
        "margin": {"l": 70, "r": 20, "t": 56, "b": 56},
        "legend": {"orientation": "h", "y": -0.28},
        "height": 440,
        "xaxis": {"title": {"text": x}, **axis},
        "yaxis": {"title": {"text": y}, **axis},
    }
    figure = go.Figure(data=list(traces), layout=common | layout)
    return Plot(figure, alt)


def interval_of(row: Result) -> tuple[float, float] | None:
    """The 95 % interval of a row's typical time: between processes, else within the one."""
    if row.combined and row.combined.ci_ms:
        return row.combined.ci_ms
    bounds = row.first.summary.get("ci_ms", {}).get("p50")
    return (bounds[0], bounds[1]) if bounds else None


def _error(
    rows: Sequence[Result], values: Sequence[float | None], scale: Sequence[float] | None = None
) -> dict[str, Any]:
    """Error bars of the intervals for plotly; `scale` converts the times."""
    above, below = [], []
    for number_, (row, value) in enumerate(zip(rows, values, strict=True)):
        bounds = interval_of(row)
        if bounds is None or value is None:
            above.append(0.0)
            below.append(0.0)
            continue
        ends = bounds if scale is None else (scale[number_] / bounds[1], scale[number_] / bounds[0])
        above.append(max(0.0, ends[1] - value))
        below.append(max(0.0, value - ends[0]))
    return {"type": "data", "array": above, "arrayminus": below, "thickness": 1.5, "width": 4}


def ranking(rows: Sequence[Result]) -> Plot:
    """The latency of each trial as a bar with its interval, the fastest on top."""
    shown = sorted(rows, key=lambda row: row.typical or 0.0)[:MOST_BARS]
    names = short_titles([row.first.trial for row in rows])
    by_key = {id(row): name for row, name in zip(rows, names, strict=True)}
    values = [row.typical for row in shown]
    bars = go.Bar(
        y=[f"{by_key[id(row)]}: {number(row.typical)} ms" for row in shown],
        x=values,
        orientation="h",
        error_x=_error(shown, values),
        marker={
            "color": COLOURS[0],
            "opacity": [1.0 if row.verdict == Verdict.VALID else 0.5 for row in shown],
        },
        hovertext=[row.first.title for row in shown],
    )
    more = f" (the fastest {MOST_BARS} of {len(rows)})" if len(rows) > MOST_BARS else ""
    plot = make_plot(
        [bars],
        f"Latency, fastest first{more}",
        "latency (ms), 95 % interval",
        "",
        "bars of the typical latency of each trial",
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
    traces = []
    for index, line in enumerate(lines):
        values = [row.typical for row in line.rows]
        traces.append(_line(index, line, values, _error(line.rows, values)))
    plot = make_plot(traces, title, what, "latency (ms), 95 % interval", title, showlegend=True)
    _places(plot, lines, log=log)
    if log:
        plot.figure.update_yaxes(**_decades(row.typical for line in lines for row in line.rows))
    else:
        plot.figure.update_yaxes(rangemode="tozero")
    return plot


def throughput_along(lines: Sequence[Line]) -> Plot:
    """Throughput of each line against the batch size, its knee marked."""
    traces = []
    for index, line in enumerate(lines):
        values = [row.images_per_second for row in line.rows]
        scale = [1000.0 * place for place in line.places]
        traces.append(_line(index, line, values, _error(line.rows, values, scale)))
        if line.knee is not None:
            at = line.places.index(line.knee)
            ring = {"symbol": "circle-open", "size": 20, "color": _colour(index)}
            traces.append(
                go.Scatter(
                    x=[line.knee], y=[values[at]], mode="markers", marker=ring | {"line_width": 3},
                    name=f"95 % of the best at batch {line.knee}", showlegend=len(lines) == 1,
                )
            )  # fmt: skip
    plot = make_plot(
        traces,
        "Throughput against batch size",
        "batch size (images)",
        "images/s, 95 % interval",
        "images a second against batch size, a line each",
        showlegend=True,
    )
    _places(plot, lines, log=True)
    plot.figure.update_yaxes(rangemode="tozero")
    return plot


def _line(index: int, line: Line, values: Sequence[float | None], error: dict[str, Any]) -> Any:
    return go.Scatter(
        x=line.places,
        y=values,
        name=line.name,
        mode="lines+markers",
        marker=_marker(index),
        line={"color": _colour(index), "dash": DASHES[index % len(DASHES)]},
        error_y=error,
        hovertext=[row.first.title for row in line.rows],
    )


def _decades(values: Iterable[float | None]) -> dict[str, Any]:
    """A logarithmic axis with ticks at 1, 2 and 5 of each decade of the values."""
    known = [value for value in values if value and value > 0]
    low, high = min(known, default=1.0), max(known, default=1.0)
    ticks = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factor in (1, 2, 5)
    ]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _places(plot: Plot, lines: Sequence[Line], *, log: bool) -> None:
    """Ticks where there are trials."""
    ticks = sorted({place for line in lines for place in line.places})
    if log:
        plot.figure.update_xaxes(type="log", tickvals=ticks, ticktext=list(map(str, ticks)))


def samples_over_time(records: Sequence[Record], needed: int | None) -> Plot:
    """Every sample in run order; warm-up, outliers and the needed warm-up are marked."""
    traces = []
    names = short_titles([record.trial for record in records])
    for index, (record, name) in enumerate(zip(records, names, strict=True)):
        values = np.array([*record.warmup_ms, *record.latency_ms])
        timed = values[len(record.warmup_ms) :]
        far = abs(values - np.median(timed)) > FAR * spread(timed)
        far[: len(record.warmup_ms)] = False
        style = {"color": _colour(index), "dash": DASHES[index % len(DASHES)], "width": 1.5}
        at = np.arange(1, len(values) + 1)
        traces += [
            go.Scatter(x=at, y=values, name=name, legendgroup=name, mode="lines", line=style),
            go.Scatter(
                x=at[far], y=values[far], name="outlier", legendgroup=name, mode="markers",
                marker={"symbol": "x", "color": _colour(index), "size": 9}, showlegend=False,
            ),
        ]  # fmt: skip
    told = "" if needed is None else f"; dotted: {needed} would do"
    plot = make_plot(
        traces,
        f"Samples in run order (grey: warm-up{told}; x: outliers)",
        "iteration",
        "latency (ms)",
        "the time of each iteration, warm-up included",
        showlegend=True,
    )
    if longest := max(len(record.warmup_ms) for record in records):
        plot.figure.add_vrect(x0=0.5, x1=longest + 0.5, fillcolor=GREY, opacity=0.18, line_width=0)
    if needed is not None:
        plot.figure.add_vline(x=needed + 0.5, line={"color": "#b3261e", "dash": "dot"})
    every = (ms for record in records for ms in (*record.warmup_ms, *record.latency_ms))
    plot.figure.update_yaxes(**_decades(every))
    return plot


def distribution(records: Sequence[Record]) -> Plot:
    """The timed samples of each trial as a violin with its quartiles."""
    traces = [
        go.Violin(
            y=list(record.latency_ms), name=name, box_visible=True, meanline_visible=True,
            points=False, line_color=_colour(index), spanmode="hard",
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
        "The same network, timed in different ways (hatched: not valid)",
        "timing method",
        "mean latency (ms)",
        "a bar for the mean of each timing method",
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
        "Speed-up over eager fp32",
        "speed-up, 95 % interval (right of 1: faster)",
    )


def changes(one: Comparison) -> Plot:
    """The ratio of each trial with its interval, the largest changes on top."""
    pairs = one.pairs[:MOST_BARS]
    found = [pair.difference for pair in pairs]
    more = f" ({MOST_BARS} of {len(one.pairs)})" if len(one.pairs) > MOST_BARS else ""
    plot = _intervals(
        short_titles([pair.record.trial for pair in one.pairs])[:MOST_BARS],
        [item.ratio for item in found],
        [item.ci or (item.ratio, item.ratio) for item in found],
        [item.verdict for item in found],
        f"Time after / time before{more}",
        "ratio, 95 % interval (right of 1: slower)",
    )
    plot.figure.add_vrect(
        x0=1 - one.threshold, x1=1 + one.threshold, fillcolor=GREY, opacity=0.18, line_width=0
    )
    return plot


def _intervals(
    names: Sequence[str],
    values: Sequence[float],
    ends: Sequence[tuple[float, float]],
    kinds: Sequence[str],
    title: str,
    what: str,
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
    height = max(260, 150 + 40 * len(values))
    plot = make_plot([points], title, what, "", alt, height=height, showlegend=False)
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
                marker=_marker(index),
                error_y=_error(own, values),
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
    plot.figure.update_xaxes(**_decades(row.first.figures["gflop"] for row in rows))
    plot.figure.update_yaxes(**_decades(row.typical for row in rows))
    return plot
