"""Plots of requests and services: phases as stacked bars, latency against throughput."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from runner.pages.page import Plot
from runner.pages.plot_style import COLOURS, GREY, colour, log_axis, make_plot, marker_of
from runner.records.capacities import Service
from runner.records.results import Result
from runner.trial.phases import PHASES
from runner.trial.titles import short_titles

MAX_BARS = 40
PATTERNS = ("", "/", ".", "\\", "x", "-")  # of the phases, beside their colours


def phases(rows: Sequence[Result]) -> Plot:
    """The phases of each request as a stacked bar, and the measured whole as a mark."""
    shown = rows[:MAX_BARS]
    names = short_titles([row.first.trial for row in shown])
    if len(shown) == 1:
        names = [shown[0].first.trial.title]
    traces: list[Any] = []
    for place, (name, pattern) in enumerate(zip(PHASES, PATTERNS, strict=True)):
        values = [row.figure(f"{name}_ms") for row in shown]
        if any(value is not None for value in values):
            traces.append(
                go.Bar(
                    y=names, x=values, name=name, orientation="h",
                    marker={"color": colour(place), "pattern": {"shape": pattern}},
                )
            )  # fmt: skip
    mark = {"symbol": "line-ns", "size": 26, "line": {"width": 3, "color": COLOURS[-1]}}
    whole = [row.typical for row in shown]
    traces.append(go.Scatter(y=names, x=whole, mode="markers", marker=mark, name="whole"))
    more = f" (the first {MAX_BARS} of {len(rows)})" if len(rows) > MAX_BARS else ""
    plot = make_plot(
        traces, f"Phases of a request{more}", "ms", "",
        "stacked bars of the phases of each request, and a mark at the measured whole",
        marks=["mark: the measured whole, which overlapping phases make shorter than their sum"],
        barmode="stack", showlegend=True, height=max(260, 140 + 32 * len(shown)),
    )  # fmt: skip
    plot.figure.update_yaxes(autorange="reversed", type="category")
    plot.figure.update_xaxes(rangemode="tozero")
    return plot


def latency_against_throughput(services: Sequence[Service], names: Sequence[str]) -> Plot:
    """The tail of each service against its rate, with its limit and the rate that keeps it."""
    traces = [
        trace
        for index, (service, name) in enumerate(zip(services, names, strict=True))
        for trace in _service(index, service, name)
    ]
    overload = any(point.tail_ms is None for service in services for point in service.points)
    marks = ["dashed: the target", "band: the largest rate that keeps it, with its 95 % interval"]
    plot = make_plot(
        traces, "Latency against throughput", "queries a second", "latency (ms), 95 % interval",
        "the tail latency of each service against the rate of its queries",
        marks=[*marks, *(["hollow: overload"] if overload else [])], showlegend=True,
    )  # fmt: skip
    shown = [point.tail_ms for one in services for point in one.points]
    shown += [
        record.summary.get("p50_ms")
        for one in services
        for record, point in zip(one.records, one.points, strict=True)
        if point.tail_ms is not None
    ]
    limits = sorted({service.limit_ms for service in services})
    plot.figure.update_yaxes(**log_axis([*shown, *limits]))
    plot.figure.update_xaxes(rangemode="tozero")
    for limit_ms in limits:
        plot.figure.add_hline(y=limit_ms, line={"color": "#b3261e", "dash": "dash"})
    for index, service in enumerate(services):
        found = service.capacity
        if found.ci is not None:
            band = {"fillcolor": colour(index), "opacity": 0.15, "line_width": 0}
            plot.figure.add_vrect(x0=found.ci[0], x1=found.ci[1], **band)
        if found.rate is not None and not found.is_least:
            plot.figure.add_vline(x=found.rate, line={"color": GREY, "dash": "dot"})
    return plot


def _service(index: int, service: Service, name: str) -> Iterator[Any]:
    """Its tail with intervals and fit, and its median, where the queue does not grow."""
    style, percentile = marker_of(index), service.percentile
    stable = [
        (record, point, fitted_ms)
        for record, point, fitted_ms in zip(
            service.records, service.points, service.capacity.fitted_ms, strict=True
        )
        if point.tail_ms is not None
    ]
    rates = [point.rate for _, point, _ in stable]
    tails = [point.tail_ms or 0.0 for _, point, _ in stable]
    key = percentile.replace(".", "")
    bounds = [
        (one.summary.get("ci_ms") or {}).get(key) or (tail, tail)
        for (one, _, _), tail in zip(stable, tails, strict=True)
    ]
    error = {
        "type": "data",
        "array": [max(0.0, ends[1] - tail) for ends, tail in zip(bounds, tails, strict=True)],
        "arrayminus": [max(0.0, tail - ends[0]) for ends, tail in zip(bounds, tails, strict=True)],
        "thickness": 1.5,
    }
    line = {"color": colour(index), "width": 1.5}
    yield go.Scatter(
        x=rates, y=tails, mode="markers", marker=style, name=f"{name} {percentile}", error_y=error
    )
    fit = [fitted_ms for _, _, fitted_ms in stable]
    yield go.Scatter(x=rates, y=fit, mode="lines", line=line, name=f"{name} fit, never falling")
    medians = [one.summary.get("p50_ms") for one, _, _ in stable]
    dotted = line | {"dash": "dot"}
    yield go.Scatter(x=rates, y=medians, mode="lines", line=dotted, name=f"{name} p50")
    over = [point.rate for point in service.points if point.tail_ms is None]
    if over:
        hollow = style | {"symbol": f"{style['symbol']}-open", "line": {"width": 2}}
        at = [service.limit_ms] * len(over)
        yield go.Scatter(
            x=over, y=at, mode="markers", marker=hollow, name="overload", showlegend=False
        )
