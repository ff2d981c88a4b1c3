"""The shared style of the plots: colours, symbols, axes.

The colours are Okabe and Ito's (2008), which colour-blind people can distinguish.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from runner.pages.page import Plot
from runner.records.results import Result

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
DASHES = ("solid", "dash", "dot", "dashdot")
GREY = "#8c959f"
PADDING = 1.08  # of a logarithmic axis beyond its values
MIN_TICKS = 4


def colour(index: int) -> str:
    """The colour of a series."""
    return COLOURS[index % len(COLOURS)]


def marker_of(index: int) -> dict[str, Any]:
    """The marker of a series."""
    return {
        "color": colour(index),
        "symbol": SYMBOLS[(index + index // len(COLOURS)) % len(SYMBOLS)],
        "size": 8,
    }


def make_plot(
    traces: Sequence[Any],
    title: str,
    x: str,
    y: str,
    alt: str,
    *,
    marks: Sequence[str] = (),
    **layout: Any,
) -> Plot:
    """Traces with axes titled `x` and `y`, in the shared style; `marks` explains each mark."""
    axis = {"automargin": True, "gridcolor": "#e6e9ec", "zeroline": False, "linecolor": GREY}
    common = {
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1b1f24"},
        "margin": {"l": 60, "r": 16, "t": 16, "b": 48},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "height": 440,
        "xaxis": {"title": {"text": x}, **axis},
        "yaxis": {"title": {"text": y}, **axis},
    }
    figure = go.Figure(data=list(traces), layout=common | layout)
    return Plot(figure, alt, title, "; ".join(marks))


def log_axis(values: Iterable[float | None]) -> dict[str, Any]:
    """A logarithmic axis around the values with at least three ticks, whatever their range."""
    known = [value for value in values if value and value > 0]
    low, high = min(known, default=1.0) / PADDING, max(known, default=1.0) * PADDING
    ticks = [tick for tick in _one_two_five(low, high) if low <= tick <= high]
    if len(ticks) < MIN_TICKS:  # less than a decade: steps of equal size
        step = next(
            step for step in _one_two_five((high - low) / 8, high) if step > (high - low) / 8
        )
        first, last = math.ceil(low / step), math.floor(high / step)
        ticks = [number_ * step for number_ in range(first, last + 1)]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:.6g}" for tick in ticks],
    }


def _one_two_five(low: float, high: float) -> list[float]:
    """1, 2 and 5 in each decade from below `low` to above `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in (1, 2, 5)]


def interval_of(row: Result) -> tuple[float, float] | None:
    """The 95 % interval of a row's typical time: between processes, else within the one."""
    if row.combined and row.combined.ci_ms:
        return row.combined.ci_ms
    bounds = row.first.summary.get("ci_ms", {}).get("p50")
    return (bounds[0], bounds[1]) if bounds else None


def error_bars(
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
