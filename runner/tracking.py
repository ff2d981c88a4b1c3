"""MLflow, where people look: a projection of the records, made after the timing.

One parent run per sweep, one child run per trial and repeat. The main process
creates store and experiment before anything is written; each trial is one
`log_batch`, so a run costs some 50 ms on SQLite.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

PARAM_LIMIT, TAG_LIMIT = 6000, 8000  # characters, beyond which MLflow cuts
METRICS = {  # metric in MLflow -> field of the record's summary; short, for the UI's column heads
    "lat_ms/p50": "p50_ms",
    "lat_ms/mean": "mean_ms",
    "lat_ms/min": "min_ms",
    "lat_ms/p90": "p90_ms",
    "lat_ms/p95": "p95_ms",
    "lat_ms/p99": "p99_ms",
    "lat_ms/std": "std_ms",
    "lat_ms/mad": "mad_ms",
    "lat_ms/first": "first_ms",
    "thr/fps": "fps",
    "thr/img_s": "img_s",
}
COLUMNS = {  # of the run table, from left to right -> width in pixels
    "metrics.`lat_ms/p50`": 105,
    "metrics.`lat_ms/mean`": 95,
    "metrics.`thr/fps`": 85,
    "tags.`verdict`": 80,
    "tags.`reasons`": 150,
    "params.`model`": 140,
    "params.`input.size`": 90,
    "params.`input.batch_size`": 120,
    "params.`timing.method`": 115,
    "params.`timing.warmup`": 115,
    "tags.`status`": 90,
}
VIEW_TAG = "mlflow.sharedViewState."  # of the experiment; the UI's own, in no documentation


class TrackingUnavailable(Exception):
    """The MLflow store can't be reached or written; the message says why."""


@dataclass(frozen=True)
class Store:
    """An open MLflow store and the experiment that runs go to."""

    client: MlflowClient
    uri: str
    experiment_id: str
    embedded: bool


def check_writable(store: Store) -> None:
    """Write a tag that says when this was tried. Raises TrackingUnavailable."""
    with _explained():
        store.client.set_experiment_tag(
            store.experiment_id, "runner.doctor", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        )


def sqlite_uri(output_dir: Path) -> str:
    """The embedded store below `output_dir`."""
    return f"sqlite:///{output_dir.resolve() / 'mlflow.db'}"


def load() -> None:
    """Import MLflow, which takes seconds, at a time when there is something to wait for."""
    import mlflow  # noqa: F401


def open_store(uri: str | None, experiment: str, output_dir: Path) -> Store:
    """Open the store, and create it and the experiment if they are not there yet.

    `uri` None means the embedded SQLite file. Raises TrackingUnavailable.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7 take over 4 minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # we print one link for all
    import logging

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    embedded = uri is None
    where = sqlite_uri(output_dir) if uri is None else uri
    try:
        served = where.startswith(("http://", "https://", "databricks"))
        with (
            nullcontext() if served else _locked(_lock_of(where, output_dir if embedded else None))
        ):
            client = MlflowClient(tracking_uri=where)
            found = client.get_experiment_by_name(experiment)
            if found is not None:
                if found.lifecycle_stage != "active":
                    raise TrackingUnavailable(
                        f"the MLflow experiment {experiment!r} was deleted; restore it, or give "
                        "another name by tracking.experiment"
                    )
                return Store(client, where, found.experiment_id, embedded)
            # explicit and absolute: MLflow's default depends on the directory of its first user
            # (a server decides itself)
            artifacts = None if served else (output_dir.resolve() / "mlartifacts").as_uri()
            made = client.create_experiment(experiment, artifact_location=artifacts)
            return Store(client, where, made, embedded)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        raise TrackingUnavailable(_reason(error)) from error


def _lock_of(uri: str, output_dir: Path | None) -> Path:
    """The file that those lock who open one database: creating it at once would break it for good.

    In the embedded store's folder, else among this user's temporary files.
    """
    if output_dir is not None:
        return output_dir / ".mlflow.lock"
    name = hashlib.sha256(uri.encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"runner-{os.getuid()}-{name}.lock"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reason(error: Exception) -> str:
    from runner.environment import redact

    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redact(lines[0])[:300]


def open_parent(store: Store, sweep_id: str, name: str | None, trials: int) -> str:
    """Open the run that stands for the whole sweep; its id. Raises TrackingUnavailable."""
    with _explained():
        _end_killed(store)
        run = store.client.create_run(
            store.experiment_id,
            run_name=f"{name} {sweep_id}" if name else f"sweep {sweep_id}",
            tags={
                "runner.kind": "sweep",
                "runner.sweep": sweep_id,
                "trials": str(trials),
                "host": socket.gethostname(),
                "pid": str(os.getpid()),
            },
        )
    with suppress(TrackingUnavailable):
        _save_view(store, sweep_id, name)
    return str(run.info.run_id)


def _end_killed(store: Store) -> None:
    """End the runs of sweeps of this host whose process is gone: nothing else would."""
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


def _save_view(store: Store, sweep_id: str, name: str | None) -> None:
    """Save the sweep's trials under "Views" in the UI, fastest first and with columns.

    The format is internal to MLflow, read off the UI of 3.17.2. The state stands at the top
    as well: the format from before views had names, which 3.17.2 still reads.
    """
    now_ms = time.time_ns() // 1_000_000
    state = {
        "searchFilter": _trials_of(sweep_id),
        "orderByKey": "metrics.`lat_ms/p50`",
        "orderByAsc": True,
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": COLUMNS,
        "runsHiddenMode": "SHOW_ALL",  # charts show the first 10 runs otherwise
    }
    view = {
        "name": f"{name or 'sweep'} {sweep_id}",
        "createdAt": now_ms,
        "updatedAt": now_ms,
        "state": json.dumps(state),
    }
    with _explained():
        store.client.set_experiment_tag(
            store.experiment_id, VIEW_TAG + sweep_id, json.dumps(view | state)
        )


def _has_view(store: Store, sweep_id: str) -> bool:
    with suppress(TrackingUnavailable), _explained():
        return VIEW_TAG + sweep_id in store.client.get_experiment(store.experiment_id).tags
    return False


def _trials_of(sweep_id: str) -> str:
    return (
        f'tags.`runner.kind` = "trial" and tags.`runner.sweep` = "{sweep_id}" '
        'and tags.verdict != "invalid"'  # no rank for a number that is wrong
    )


def close_parent(store: Store, parent_id: str, status: str) -> None:
    """Close the sweep's run: FINISHED, FAILED or KILLED. Raises TrackingUnavailable."""
    with _explained():
        store.client.set_terminated(parent_id, status)


def publish(store: Store, record: Record, path: Path, parent_id: str | None) -> str:
    """Log a record as one MLflow run; its id. Raises TrackingUnavailable."""
    from mlflow.entities import Metric, Param, RunTag

    ended_ms = time.time_ns() // 1_000_000
    with _explained():
        client = store.client
        run = client.create_run(
            store.experiment_id,
            run_name=record.title,
            start_time=_epoch_ms(record.started_at),
            tags=tags_of(record) | ({"mlflow.parentRunId": parent_id} if parent_id else {}),
        )
        run_id = str(run.info.run_id)
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, ended_ms, 0) for key, value in metrics_of(record)],
            params=[Param(key, str(value)[:PARAM_LIMIT]) for key, value in params_of(record)],
            tags=[RunTag("mlflow.note.content", _note(record))],
        )
        client.log_artifact(run_id, str(path))
        client.set_terminated(
            run_id,
            {"completed": "FINISHED", "interrupted": "KILLED"}.get(record.status, "FAILED"),
            end_time=_epoch_ms(record.ended_at),
        )
        return run_id


@contextmanager
def _explained() -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise TrackingUnavailable(_reason(error)) from error


def params_of(record: Record) -> Iterable[tuple[str, object]]:
    """The dotted keys of the command line with scalar values, numbers as numbers."""
    trial = record.trial
    yield "model", trial["model"]["target"] or trial["model"]["name"]
    yield "model.weights", trial["model"]["weights"] or "random"
    if trial["model"]["kwargs"]:
        yield "model.kwargs", trial["model"]["kwargs"]
    height, width = trial["input"]["size"]
    yield "input.size", height if height == width else f"{height}x{width}"
    for group in ("input", "timing", "runtime"):
        for name, value in trial[group].items():
            if (group, name) != ("input", "size"):
                yield f"{group}.{name}", value
    for name in ("device", "repeat", "seed"):
        yield name, trial[name]


def metrics_of(record: Record) -> Iterable[tuple[str, float]]:
    """Short names grouped by slash; what could not be computed is left out, never zero."""
    for metric, name in METRICS.items():
        if (value := record.summary.get(name)) is not None:
            yield metric, value
    if (bounds := record.summary.get("ci_ms", {}).get("p50")) is not None:
        yield "lat_ms/p50_lo", bounds[0]
        yield "lat_ms/p50_hi", bounds[1]
    for metric, name in (("mem/peak_mib", "peak_mib"), ("setup/build_s", "build_s")):
        if (value := record.series.get(name)) is not None:
            yield metric, value


def tags_of(record: Record) -> dict[str, str]:
    """What runs are found and filtered by; every value a string."""
    environment: Mapping[str, Any] = record.environment
    tags = {
        "runner.kind": "trial",
        "runner.sweep": record.sweep_id,
        "runner.trial_key": record.key,
        "runner.repeat": record.repeat,
        "status": record.status,
        "verdict": record.verdict or "not judged",
        "reasons": " ".join(
            reason["code"] for reason in record.reasons if reason["level"] != "note"
        )
        or None,
        "runner.order_seed": record.order_seed,
        "gpu": environment.get("gpu"),
        "driver": environment.get("gpu_driver"),
        "error": record.error and f"{record.error['type']}: {record.error['message']}",
        **{name: environment.get(name) for name in ("host", "pid", "cpu", "torch", "git_commit")},
    }
    return {key: str(value)[:TAG_LIMIT] for key, value in tags.items() if value is not None}


def _note(record: Record) -> str:
    if record.error:
        return f"**{record.status}**: {record.error['type']}: {record.error['message']}"[:TAG_LIMIT]
    advice = "".join(
        f"\n- {reason['code']}: {reason['found']}; {reason.get('remedy', '')}".rstrip("; ")
        for reason in record.reasons
    )
    return f"**{record.headline}**, {record.verdict}{advice}"[:TAG_LIMIT]


def _epoch_ms(iso: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def ui_command(store: Store) -> str | None:
    """The command that opens the store in a browser; None where a server shows it already."""
    if store.uri.startswith(("http://", "https://")):
        return None
    beside = Path(sys.executable).with_name("mlflow")
    python = shlex.quote(sys.executable)
    mlflow = "mlflow" if shutil.which("mlflow") == str(beside) else f"{python} -m mlflow"
    from runner.environment import redact

    uri = store.uri.replace(f"{Path.cwd()}/", "") if store.embedded else redact(store.uri)
    return f"{mlflow} ui --backend-store-uri {shlex.quote(uri)}"


def ui_link(store: Store, sweep_id: str) -> str:
    """The page on which this sweep's trials stand, fastest first.

    By the saved view where there is one: a filter or order in the link would make the UI ignore
    it. Without it the table has no columns, so the charts are opened beside it.
    """
    server = store.uri.rstrip("/") if ui_command(store) is None else "http://127.0.0.1:5000"
    from runner.environment import redact

    if _has_view(store, sweep_id):
        shown = f"&viewStateShareKey={quote(sweep_id, safe='')}&compareRunsMode=TABLE"
    else:
        shown = (
            f"&searchFilter={quote(_trials_of(sweep_id), safe='')}"
            "&orderByKey=metrics.%60lat_ms/p50%60&orderByAsc=true&compareRunsMode=CHART"
        )
    page = f"{server}/#/experiments/{store.experiment_id}/runs"
    return redact(f"{page}?workflowType=machine_learning{shown}")
