"""The trend of each trial over the nights: one run each, whose step is the day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any

from runner.contract import TrackingUnavailable
from runner.records.nights import Night
from runner.tracking.nights import identity_of, runs_of, trials_of
from runner.tracking.projection import NAME_LIMIT, digits, params_of
from runner.tracking.store import Store, explained
from runner.tracking.view import curves_link, save_curves_view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

AXIS = "night"
CHARTS = ("gate/ratio", "lat_ms/p50")
DAY_LENGTH = len("2026-11-26")


def publish(store: Store, name: str, nights: Sequence[Night], values: Mapping[str, Any]) -> None:
    """Add the last night to the trend of each trial; a new trend begins with all nights.

    `values` are those of gate.json. Each host has trends of its own. Raises TrackingUnavailable.
    """
    host = next((one.facts.get("host", "") for one in nights[-1].processes), "")
    common = {
        "runner.kind": "curve",
        "runner.sweep": _group(name),
        "runner.axis": AXIS,
        "host": host,
    }
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in common.items())
    there = {
        run.data.tags["runner.identity"]: run
        for run in runs_of(store, query)
        # a trend with edited tags is left alone, and a new one begins
        if "runner.identity" in run.data.tags and _day(run, "runner.origin")
    }
    days = [date.fromisoformat(night.sweep_id[-DAY_LENGTH:]).toordinal() for night in nights]
    known = [day for run in there.values() if (day := _day(run, "runner.origin"))]
    origin = min(known, default=min(days))
    ratios = {one["identity"]: one["ratio"] for one in values["trials"]}
    params = {identity_of(run): run.data.params for run in trials_of(store, nights[-1].sweep_id)}
    common |= {
        "runner.origin": str(origin),
        "mlflow.note.content": f"the step is the day, from {date.fromordinal(origin)} on",
    }
    with explained():
        client = store.client
        for identity, title in nights[-1].planned.items():
            run = there.get(identity)
            last = (_day(run, "runner.last_day") if run else None) or 0
            points = {
                day - origin + 1: night
                for day, night in zip(days, nights, strict=True)
                if day > last
            }
            if run is None:
                run = client.create_run(
                    store.experiment_id,
                    run_name=f"{title} over nights"[:NAME_LIMIT],
                    tags=common | {"runner.identity": identity},
                )
                client.log_batch(run.info.run_id, params=params_of(params.get(identity, {})))
                client.set_terminated(run.info.run_id)
            if points:
                _add(client, run.info.run_id, identity, points, ratios.get(identity))
                client.set_tag(run.info.run_id, "runner.last_day", str(days[-1]))
    with suppress(TrackingUnavailable):
        save_curves_view(store, _group(name), AXIS, CHARTS, f"{name}: all nights")


def _day(run: Run, tag: str) -> int | None:
    """The day in a tag; None if it was edited, or not yet set."""
    try:
        return date.fromordinal(int(run.data.tags[tag])).toordinal()
    except (KeyError, ValueError, OverflowError):
        return None


def link(store: Store, name: str) -> str:
    """The page on which MLflow draws all trends."""
    return curves_link(store, _group(name), AXIS)


def _group(name: str) -> str:
    """The group of all trends of a sweep; ids of sweeps have no blanks."""
    return f"{name} nights"


def _add(
    client: MlflowClient,
    run_id: str,
    identity: str,
    points: Mapping[int, Night],
    ratio: float | None,
) -> None:
    """Add nights by step: typical times, and the last night's ratio to its level."""
    from mlflow.entities import Metric

    from runner.statistics.processes import combine

    metrics = []
    for step, night in points.items():
        at_ms = round(night.began_s * 1000)
        processes = night.by_trial.get(identity, [])
        times = [one.typical_ms for one in processes if one.typical_ms is not None]
        if times:
            value = digits(combine(times).median_ms)
            metrics.append(Metric("lat_ms/p50", value, at_ms, step))
    if ratio is not None:
        metrics.append(Metric("gate/ratio", digits(ratio), at_ms, step))
    client.log_batch(run_id, metrics=metrics)
