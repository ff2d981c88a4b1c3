"""Runs in MLflow: the parent of a sweep, and one child for each trial and repeat."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.contract import RefusedByTracking, Status, TrackingUnavailable
from runner.records.record import Record
from runner.tracking.projection import NAME_LIMIT, metrics_of, note_of, params_of, tags_of
from runner.tracking.store import Store, explained
from runner.tracking.view import save_view
from runner.trial.titles import keys_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

OPEN = ("RUNNING", "SCHEDULED", "KILLED")  # KILLED: set by the next sweep of the host


def open_parent(store: Store, sweep_id: str, title: str, trials: int) -> str:
    """Create or reopen the run of the whole sweep; its id.

    Raises TrackingUnavailable.
    """
    tags = {
        "runner.kind": "sweep",
        "runner.sweep": sweep_id,
        "trials": str(trials),
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
    }
    with explained():
        client = store.client
        _end_killed(store)
        found = tagged(store, {name: tags[name] for name in ("runner.kind", "runner.sweep")})
        if found:
            run = found[0]
            client.update_run(run.info.run_id, status="RUNNING")
            for key, value in tags.items():
                client.set_tag(run.info.run_id, key, value)
        else:
            run = client.create_run(store.experiment_id, run_name=title[:NAME_LIMIT], tags=tags)
    with suppress(TrackingUnavailable):
        save_view(store, sweep_id, title)
    return str(run.info.run_id)


@dataclass(frozen=True)
class Overview:
    """The state of an experiment: sweeps whose run is open, and deleted runs."""

    open: Mapping[str, str]  # status of the run, by the id of the sweep
    deleted: Set[str]


def overview(store: Store) -> Overview:
    """Query the store once for all sweeps. Raises TrackingUnavailable."""
    from mlflow.entities import ViewType

    with explained():
        sweeps = [
            run
            for status in OPEN
            for run in found_runs(
                store, f"attributes.status = '{status}' and tags.`runner.kind` = 'sweep'"
            )
        ]
        deleted = found_runs(store, "tags.`runner.kind` = 'trial'", ViewType.DELETED_ONLY)
    return Overview(
        {run.data.tags["runner.sweep"]: run.info.status for run in sweeps},
        {run.info.run_id for run in deleted},
    )


def tagged(store: Store, tags: Mapping[str, object]) -> list[Run]:
    """The runs that have all these tags."""
    return found_runs(
        store, " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    )


def found_runs(store: Store, query: str, view: int = 1) -> list[Run]:
    """All runs of the experiment that match a query, by default active ones (a ViewType)."""
    found: list[Run] = []
    token = None
    while True:
        page = store.client.search_runs(
            [store.experiment_id], query, run_view_type=view, page_token=token
        )
        found += page
        if not (token := page.token):
            return found


def _end_killed(store: Store) -> None:
    """End the runs of sweeps of this host whose process is gone; nothing else would."""
    running = "attributes.status = 'RUNNING' and tags."
    of_host = f"{running}`runner.kind` = 'sweep' and tags.host = '{socket.gethostname()}'"
    for parent in store.client.search_runs([store.experiment_id], of_host):
        if _is_alive(parent.data.tags.get("pid", "")):
            continue
        children = f"{running}`mlflow.parentRunId` = '{parent.info.run_id}'"
        for run in [*store.client.search_runs([store.experiment_id], children), parent]:
            store.client.set_terminated(run.info.run_id, "KILLED")


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ValueError, ProcessLookupError):
        return False
    return True


def close_parent(store: Store, parent_id: str, status: str) -> None:
    """Close the sweep's run: FINISHED, FAILED or KILLED. Raises TrackingUnavailable."""
    with explained():
        store.client.set_terminated(parent_id, status)


def publish(
    store: Store, record: Record, path: Path, parent_id: str | None, *, again: bool = False
) -> str:
    """Log a record as one MLflow run; its id. Raises TrackingUnavailable.

    With `again`, a run that an earlier start began is completed, and that of an earlier attempt
    at the trial is deleted. Raises RefusedByTracking if only this record is refused.
    """
    with explained():
        client = store.client
        run = (_begun(store, record) if again else None) or client.create_run(
            store.experiment_id,
            run_name=record.title[:NAME_LIMIT],
            start_time=_epoch_ms(record.started_at),
            tags=tags_of(record) | ({"mlflow.parentRunId": parent_id} if parent_id else {}),
        )
    run_id = str(run.info.run_id)
    try:
        with explained():
            _fill(client, run_id, record, path)
    except RefusedByTracking:
        with suppress(TrackingUnavailable), explained():
            client.set_terminated(run_id, "FAILED")  # otherwise it would seem to be running
        raise
    return run_id


def _fill(client: MlflowClient, run_id: str, record: Record, path: Path) -> None:
    """Log a complete record into a run that has begun, and end the run."""
    from mlflow.entities import Metric, RunTag

    ended_ms = time.time_ns() // 1_000_000
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, ended_ms, 0) for key, value in metrics_of(record)],
        params=params_of(keys_of(record.trial)),
        tags=[RunTag("mlflow.note.content", note_of(record))],
    )
    client.log_artifact(run_id, str(path))
    client.set_terminated(
        run_id,
        {Status.COMPLETED: "FINISHED", Status.INTERRUPTED: "KILLED"}.get(record.status, "FAILED"),
        end_time=_epoch_ms(record.ended_at),
    )


def _begun(store: Store, record: Record) -> Run | None:
    """The existing run of this record; runs of earlier attempts are deleted."""
    identity = {
        "runner.sweep": record.sweep_id,
        "runner.trial_key": record.key,
        "runner.repeat": record.repeat,
    }
    begun = None
    for run in tagged(store, identity):
        if run.data.params.get("device") not in (None, record.trial.device):
            continue  # the same trial on another device of the kind
        if run.data.tags.get("host") not in (None, record.environment.get("host")):
            continue  # the same sweep on another machine
        if begun is None and run.info.start_time == _epoch_ms(record.started_at):
            begun = run
        else:
            store.client.delete_run(run.info.run_id)
    return begun


def _epoch_ms(iso: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(iso).timestamp() * 1000)
