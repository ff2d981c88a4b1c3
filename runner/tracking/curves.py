"""Lines in MLflow's own charts: one run each, whose metrics use the swept number as their step.

The UI draws a metric that a run holds at several steps as a line, and lays those of several runs
over each other: latency against resolution, batch or warm-up, of all models in one chart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.contract import TrackingUnavailable
from runner.records.record import Record
from runner.records.results import Result, results_of
from runner.tracking.projection import NAME_LIMIT, digits, params_of
from runner.tracking.store import Store, explained
from runner.tracking.view import save_curves_view
from runner.trial.axes import AXES, lines, place
from runner.trial.titles import keys_of, short_titles

if TYPE_CHECKING:
    from mlflow.entities import Run

USUAL = ("lat_ms/p50", "thr/fps")  # metrics with a chart of their own
CHARTED = {"load.rate": ("lat_ms/p99", "lat_ms/p50", "load/answered")}
MAX_LINES = 100  # lines of a sweep; the UI's charts can't show more


@dataclass(frozen=True)
class Curve:
    """A line: the params its trials share, and the metrics at each point of an axis."""

    name: str
    axis: str
    params: dict[str, object]
    points: dict[int, dict[str, float]]


def curves_of(records: Sequence[Record]) -> list[Curve]:
    """The lines of a sweep along each axis, from trials with figures."""
    results = [one for one in results_of(records) if one.usable]
    trials = [one.first.trial for one in results]
    found = []
    for axis in AXES:
        along = lines(trials, axis)
        titles = short_titles([trials[line[0]] for line in along], but=(axis,)) if along else []
        for title, line in zip(titles, along, strict=True):
            trial = trials[line[0]]
            model = trial.model.label
            whose = title if title.startswith(model) else f"{model} {title}"
            params = {
                name: value
                for name, value in keys_of(trial).items()
                if name not in (axis, "repeat") and value is not None
            }
            points = {
                place(trials[at], axis) or 0: dict(metrics_of_result(results[at])) for at in line
            }
            found.append(Curve(f"{whose} over {axis}", axis, params, points))
    return found[:MAX_LINES]


def metrics_of_result(result: Result) -> Iterator[tuple[str, float]]:
    """The metrics of a trial over its processes, named as in its own runs."""
    found = {
        "lat_ms/p50": result.combined.median_ms if result.combined else None,
        "thr/img_s" if result.pipelined else "thr/fps": result.images_per_second,
        "thr/tflop_s": result.tflop_s,
    }
    if result.first.trial.load.name == "server":
        first = result.first
        found |= {f"lat_ms/{name}": first.summary.get(f"{name}_ms") for name in ("p90", "p99")}
        found |= {"load/answered": first.figures.get("answered_qps")}
    yield from ((name, value) for name, value in found.items() if value is not None)


def publish(store: Store, parent_id: str, sweep_id: str, records: Sequence[Record]) -> list[str]:
    """Log the lines of a sweep below its parent run, replacing earlier ones.

    Returns the axes that have lines. Raises TrackingUnavailable.
    """
    from mlflow.entities import Metric

    found = curves_of(records)
    with explained():
        client = store.client
        for run in there(store, sweep_id):
            client.delete_run(run.info.run_id)
        now_ms = time.time_ns() // 1_000_000
        for curve in found:
            tags = {
                "runner.kind": "curve",
                "runner.sweep": sweep_id,
                "runner.axis": curve.axis,
                "mlflow.parentRunId": parent_id,
                "mlflow.note.content": f"the step is {AXES[curve.axis]}",
            }
            run = client.create_run(
                store.experiment_id, run_name=curve.name[:NAME_LIMIT], tags=tags
            )
            client.log_batch(
                run.info.run_id,
                metrics=[
                    Metric(name, digits(value), now_ms, step)
                    for step, metrics in sorted(curve.points.items())
                    for name, value in metrics.items()
                ],
                params=params_of(curve.params),
            )
            client.set_terminated(run.info.run_id)
    axes = list(dict.fromkeys(curve.axis for curve in found))
    for axis in axes:
        with suppress(TrackingUnavailable):
            save_curves_view(store, sweep_id, axis, CHARTED.get(axis, USUAL))
    return axes


def there(store: Store, sweep_id: str) -> list[Run]:
    """The line runs of a sweep. Raises TrackingUnavailable."""
    query = f"tags.`runner.kind` = 'curve' and tags.`runner.sweep` = '{sweep_id}'"
    with explained():
        return list(
            store.client.search_runs([store.experiment_id], query, max_results=MAX_LINES * 2)
        )
