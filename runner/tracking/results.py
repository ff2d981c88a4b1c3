"""One run for each trial of several processes, which are nested below it, and names that differ."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runner.contract import Level
from runner.records.record import Record
from runner.records.results import Result, has_processes, results_of
from runner.tracking.curves import metrics_of_result
from runner.tracking.projection import NAME_LIMIT, digits, params_of
from runner.tracking.runs import found_runs, tagged
from runner.tracking.store import Store, explained
from runner.trial.description import Trial
from runner.trial.titles import keys_of, short_titles

if TYPE_CHECKING:
    from mlflow.entities import Run

MAX_RUNS = 500  # of a sweep that are named and nested: each takes some milliseconds
PREFIX = len("r0 ")  # of the name of a process
VISIBLE = 20  # characters of a name that the UI's charts and lists show


def publish(store: Store, parent_id: str, sweep_id: str, records: Sequence[Record]) -> bool:
    """Give each trial with several processes a run with its figures, and tell runs apart by name.

    Returns whether trials have such runs; a sweep of more than MAX_RUNS processes has none.
    Raises TrackingUnavailable.
    """
    if len(records) > MAX_RUNS:
        return False
    with explained():
        query = f"tags.`runner.kind` = 'trial' and tags.`runner.sweep` = '{sweep_id}'"
        of_process = {_process(run): run for run in found_runs(store, query)}
        for record, name in zip(records, names_of(records), strict=True):
            run = of_process.get((record.key, record.repeat, record.trial.device))
            if run is not None and run.info.run_name != name:
                store.client.update_run(run.info.run_id, name=name)
        found = results_of(records) if has_processes(records) else []
        firsts = [one.first for one in found]
        own = _names([one.trial for one in firsts], [one.trial_title for one in firsts])
        for result, name in zip(found, own, strict=True):
            run_id = _publish_one(store, parent_id, sweep_id, name, result)
            for record in result.records:
                run = of_process.get((record.key, record.repeat, record.trial.device))
                if run is not None and run.data.tags.get("mlflow.parentRunId") != run_id:
                    store.client.set_tag(run.info.run_id, "mlflow.parentRunId", run_id)
    return bool(found)


def names_of(records: Sequence[Record]) -> list[str]:
    """Names of the runs of processes, as in `r1 640px: resnet50 640px b1 w20 event`.

    What tells runs apart stands in front, where titles begin alike.
    """
    several = has_processes(records)
    own = _names([record.trial for record in records], [one.trial_title for one in records])
    return [
        f"r{record.repeat} {name}"[:NAME_LIMIT] if several else name
        for record, name in zip(records, own, strict=True)
    ]


def _names(trials: Sequence[Trial], titles: Sequence[str]) -> list[str]:
    begins = Counter(title[: VISIBLE - PREFIX] for title in set(titles))
    names = []
    for trial, short, title in zip(trials, short_titles(trials), titles, strict=True):
        alike = begins[title[: VISIBLE - PREFIX]] > 1 and short != trial.model.label
        names.append((f"{short}: {title}" if alike else title)[:NAME_LIMIT])
    return names


def _process(run: Run) -> tuple[str, int, str]:
    tags, params = run.data.tags, run.data.params
    repeat = tags.get("runner.repeat", "")
    key = tags.get("runner.trial_key", "")
    return key, int(repeat) if repeat.isdecimal() else 0, params.get("device", "")


def _publish_one(store: Store, parent_id: str, sweep_id: str, name: str, result: Result) -> str:
    """Create or update the run of a trial; its id."""
    from mlflow.entities import Metric

    identity = {
        "runner.kind": "result",
        "runner.sweep": sweep_id,
        "runner.identity": result.first.identity,
        "host": str(result.first.environment.get("host") or ""),  # hosts may share a sweep
    }
    verdicts = {
        "verdict": str(result.verdict or "not judged"),
        "reasons": " ".join(dict.fromkeys(_codes(result))),
        "processes": str(len(result.records)),
        "mlflow.parentRunId": parent_id,
    }
    client, now_ms = store.client, time.time_ns() // 1_000_000
    found = tagged(store, identity)
    run = found[0] if found else None
    if run is None:
        keys = keys_of(result.first.trial)
        run = client.create_run(
            store.experiment_id,
            run_name=name,
            tags=identity | verdicts,
        )
        params = {key: value for key, value in keys.items() if key != "repeat"}
        client.log_batch(run.info.run_id, params=params_of(params))
    else:
        for tag, value in verdicts.items():
            client.set_tag(run.info.run_id, tag, value)
    metrics = [Metric(metric, digits(value), now_ms, 0) for metric, value in _metrics(result)]
    client.log_batch(run.info.run_id, metrics=metrics)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _metrics(result: Result) -> Iterator[tuple[str, float]]:
    yield from metrics_of_result(result)
    if result.combined and result.combined.ci_ms:
        yield "lat_ms/p50_lo", result.combined.ci_ms[0]
        yield "lat_ms/p50_hi", result.combined.ci_ms[1]


def _codes(result: Result) -> Iterator[str]:
    for record in result.records:
        yield from (one["code"] for one in record.reasons if one["level"] != Level.NOTE)
