"""Nights in MLflow: read from the runs of their trials, and what the gate says put on these.

The trend of a trial is a run of its own (as in curves.py), whose step is the day.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.records.brief import FACTS, Brief
from runner.records.nights import Night
from runner.tracking.projection import NAME_LIMIT, TAG_LIMIT, digits, params_of
from runner.tracking.store import Store, TrackingUnavailable, explained
from runner.tracking.view import curves_link, run_link, save_curves_view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # runs that are asked for at once
AXIS = "night"
DAY_LENGTH = len("2026-11-26")
COUNTED = ("regression", "suspect", "inconclusive", "failed", "missing", "pass")


def names_of_nights(store: Store, name: str) -> list[str]:
    """The nights that the store has, the oldest first. Raises TrackingUnavailable."""
    query = f"tags.`runner.kind` = 'sweep' and tags.`runner.sweep` LIKE '{name}-____-__-__'"
    return sorted({run.data.tags["runner.sweep"] for run in _runs(store, query)})


def load_night(store: Store, sweep_id: str) -> Night:
    """A night by the tags of its runs, without any artifact. Raises TrackingUnavailable."""
    runs = list(_trials_of(store, sweep_id))
    found = sorted(map(_brief_of, runs), key=lambda one: one.began_s)
    said = {_identity(run): run.data.tags["gate"] for run in runs if "gate" in run.data.tags}
    parents = _runs(store, f"tags.`runner.kind` = 'sweep' and tags.`runner.sweep` = '{sweep_id}'")
    question = any(run.data.tags.get("gate.question") == "True" for run in parents)
    titles = {one.identity: one.title for one in found}
    return Night(sweep_id, titles, tuple(found), said, question)


def _runs(store: Store, query: str) -> Iterator[Run]:
    token = None
    with explained():
        while True:
            page = store.client.search_runs(
                [store.experiment_id], query, max_results=PAGE, page_token=token
            )
            yield from page
            if not (token := page.token):
                return


def _trials_of(store: Store, sweep_id: str) -> Iterator[Run]:
    query = f"tags.`runner.kind` = 'trial' and tags.`runner.sweep` = '{sweep_id}'"
    return _runs(store, query)


def _identity(run: Run) -> str:
    tags = run.data.tags
    return str(tags.get("runner.identity", tags["runner.trial_key"]))


def _brief_of(run: Run) -> Brief:
    tags: Mapping[str, str] = run.data.tags
    repeat = int(tags["runner.repeat"])
    title, typical_ms = str(run.info.run_name), tags.get("runner.typical_ms")
    unfit = tags.get("runner.unfit")
    facts = json.loads(tags.get("runner.facts", "{}")) or {
        name: tags[name] for name in FACTS if name in tags
    }
    ended_ms = run.info.end_time or run.info.start_time
    return Brief(
        identity=_identity(run),
        repeat=repeat,
        title=title.replace(f" r{repeat}", "", 1) if repeat else title,
        status=tags["status"],
        unfit=unfit,
        typical_ms=None if unfit or typical_ms is None else float(typical_ms),
        began_s=run.info.start_time / 1000,
        took_s=(ended_ms - run.info.start_time) / 1000,
        facts=facts,
    )


def links(store: Store, sweep_id: str) -> dict[str, str]:
    """The page of each trial's first process, by its identity. Raises TrackingUnavailable."""
    runs = sorted(_trials_of(store, sweep_id), key=lambda run: -run.info.start_time)
    return {_identity(run): run_link(store, run.info.run_id) for run in runs}


def publish(store: Store, sweep_id: str, values: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Put what the gate says on the runs of a night, and its `files` on that of the whole.

    `values` are those of gate.json. Raises TrackingUnavailable.
    """
    from mlflow.entities import Metric, RunTag

    verdicts = {one["identity"]: one["verdict"] for one in values["trials"]}
    with explained():
        client = store.client
        for run in _trials_of(store, sweep_id):
            verdict = verdicts.get(_identity(run), "missing")
            if run.data.tags.get("gate") != verdict:
                client.set_tag(run.info.run_id, "gate", verdict)
        query = f"tags.`runner.kind` = 'sweep' and tags.`runner.sweep` = '{sweep_id}'"
        for parent in _runs(store, query):
            run_id = parent.info.run_id
            now_ms = parent.info.start_time
            counts = {f"gate/{verdict}": values["counts"].get(verdict, 0) for verdict in COUNTED}
            client.log_batch(
                run_id,
                metrics=[Metric(name, count, now_ms, 0) for name, count in counts.items()],
                tags=[
                    RunTag("gate", values["headline"][:TAG_LIMIT]),
                    RunTag("gate.question", str(values["health"]["question"])),
                    RunTag("gate.exit_code", str(values["exit_code"])),
                ],
            )
            for file in files:
                client.log_artifact(run_id, str(file))


def publish_trends(
    store: Store, name: str, nights: Sequence[Night], values: Mapping[str, Any]
) -> None:
    """Add the last of the nights to the trend of each trial; a new trend begins with all of them.

    Raises TrackingUnavailable.
    """
    with explained():
        client = store.client
        query = (
            f"tags.`runner.kind` = 'curve' and tags.`runner.axis` = '{AXIS}' "
            f"and tags.`runner.sweep` = '{_group(name)}'"
        )
        there = {run.data.tags["runner.identity"]: run for run in _runs(store, query)}
        days = [_day(night.sweep_id) for night in nights]
        known = [int(run.data.tags["runner.origin"]) for run in there.values()]
        origin = min(known, default=min(days))
        ratios = {one["identity"]: one["ratio"] for one in values["trials"]}
        params = {_identity(run): run.data.params for run in _trials_of(store, nights[-1].sweep_id)}
        for identity, title in nights[-1].planned.items():
            run = there.get(identity)
            last = int(run.data.tags["runner.last_day"]) if run else 0
            points = [(day, night) for day, night in zip(days, nights, strict=True) if day > last]
            if run is None:
                run = _new_trend(
                    client, store, name, identity, title, origin, params.get(identity, {})
                )
            _add(client, run.info.run_id, identity, points, origin, ratios.get(identity))
    with suppress(TrackingUnavailable):
        charts = ("gate/ratio", "lat_ms/p50")
        save_curves_view(store, _group(name), AXIS, charts, f"{name}: all nights")


def trends_link(store: Store, name: str) -> str:
    """The page on which MLflow draws the trends over each other."""
    return curves_link(store, _group(name), AXIS)


def _group(name: str) -> str:
    """What the trends of all nights have in common; no sweep has a blank in its id."""
    return f"{name} nights"


def _new_trend(
    client: MlflowClient,
    store: Store,
    name: str,
    identity: str,
    title: str,
    origin: int,
    params: Mapping[str, object],
) -> Run:
    run = client.create_run(
        store.experiment_id,
        run_name=f"{title} over nights"[:NAME_LIMIT],
        tags={
            "runner.kind": "curve",
            "runner.sweep": _group(name),
            "runner.axis": AXIS,
            "runner.identity": identity,
            "runner.origin": str(origin),
            "mlflow.note.content": f"the step is the day, from {date.fromordinal(origin)} on",
        },
    )
    client.log_batch(run.info.run_id, params=params_of(params))
    client.set_terminated(run.info.run_id)
    return run


def _add(
    client: MlflowClient,
    run_id: str,
    identity: str,
    points: Sequence[tuple[int, Night]],
    origin: int,
    ratio: float | None,
) -> None:
    """Add nights to a trend: the typical time of each, and tonight's ratio to its level."""
    from mlflow.entities import Metric, RunTag

    from runner.statistics.processes import combine

    metrics = []
    for day, night in points:
        times = [
            one.typical_ms for one in night.by_trial.get(identity, []) if one.typical_ms is not None
        ]
        if times:
            value, step = digits(combine(times).median_ms), day - origin + 1
            metrics.append(Metric("lat_ms/p50", value, round(night.began_s * 1000), step))
    if points and ratio is not None:
        day, night = points[-1]
        at_ms, step = round(night.began_s * 1000), day - origin + 1
        metrics.append(Metric("gate/ratio", digits(ratio), at_ms, step))
    if points:
        client.log_batch(
            run_id, metrics=metrics, tags=[RunTag("runner.last_day", str(points[-1][0]))]
        )


def _day(sweep_id: str) -> int:
    return date.fromisoformat(sweep_id[-DAY_LENGTH:]).toordinal()
