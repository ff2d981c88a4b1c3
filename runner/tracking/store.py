"""The MLflow store: opened, created and locked before anything is written."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from runner.contract import NoLock, RefusedByTracking, TrackingUnavailable
from runner.records.locks import locked, shared_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient


DATABASE = "mlflow.db"
CONNECT_S = 10  # connection timeout of a database
REFUSALS = (400, 413, 414, 422)  # HTTP statuses of requests that would fail again
HTTP_STATUS = re.compile(r"failed with error code (\d{3})")  # in the messages of MLflow's client


@dataclass(frozen=True)
class Store:
    """An open MLflow store and the experiment of the runs."""

    client: MlflowClient
    uri: str
    experiment_id: str
    embedded: bool


def check_writable(store: Store) -> None:
    """Write a tag, to test whether the store is writable. Raises TrackingUnavailable."""
    with explained():
        store.client.set_experiment_tag(
            store.experiment_id, "runner.doctor", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        )


def sqlite_uri(file: Path) -> str:
    """The URI of the store in a file.

    SQLAlchemy decodes the path, so it is quoted; MLflow doesn't, and would create a folder of
    the quoted name below the plain scheme.
    """
    path = str(file.resolve())
    quoted = quote(path)
    return f"sqlite:///{path}" if quoted == path else f"sqlite+pysqlite:///{quoted}"


def is_known(store: Store, run_id: str) -> bool:
    """Whether the store has ever had this run. Raises TrackingUnavailable."""
    from mlflow.exceptions import MlflowException

    with explained():
        try:
            store.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
    return True


def load() -> None:
    """Import MLflow, which takes seconds, while something else is waited for."""
    import mlflow  # noqa: F401


def open_store(uri: str | None, experiment: str, output_dir: Path) -> Store:
    """Open the store; create it and the experiment if necessary.

    `uri` None is the embedded SQLite file. Raises TrackingUnavailable.
    """
    _quieten()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    embedded = uri is None
    where = sqlite_uri(output_dir / DATABASE) if uri is None else uri
    try:
        served = where.startswith(("http://", "https://", "databricks"))
        with (
            nullcontext()
            if served
            else locked(_lock_of(where, output_dir if embedded else None), "opening", waits=str)
        ):
            if embedded and not (output_dir / DATABASE).exists():
                _make_database(output_dir)
            _check_database(where)
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
            try:
                made = client.create_experiment(experiment, artifact_location=artifacts)
            except MlflowException as error:
                found = client.get_experiment_by_name(experiment)
                if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                    raise
                made = found.experiment_id  # another process was first
            return Store(client, where, made, embedded)
    except (MlflowException, SQLAlchemyError, OSError, ImportError, NoLock) as error:
        raise TrackingUnavailable(_reason(error)) from error


def connect(uri: str | None, output_dir: Path) -> MlflowClient:
    """A client for reading an existing store. Raises TrackingUnavailable."""
    if uri is None and not (output_dir / DATABASE).exists():
        raise TrackingUnavailable(f"no MLflow store {output_dir / DATABASE}")
    _quieten()
    from mlflow import MlflowClient

    with explained():
        return MlflowClient(tracking_uri=sqlite_uri(output_dir / DATABASE) if uri is None else uri)


def _quieten() -> None:
    """Configure MLflow's telemetry, retries and output before it is imported."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7 take over 4 minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # runner prints one link for all
    # a download's progress bar would interrupt our lines
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(
        logging.CRITICAL
    )  # runner reports these errors itself


def _check_database(uri: str) -> None:
    """Connect to a database once; MLflow itself would retry for minutes. Raises SQLAlchemyError."""
    if uri.startswith(("postgresql", "mysql")):
        from sqlalchemy import create_engine

        engine = create_engine(uri, connect_args={"connect_timeout": CONNECT_S})
        try:
            engine.connect().close()
        finally:
            engine.dispose()


def _make_database(output_dir: Path) -> None:
    """Create the embedded store atomically: a killed process must not leave half of it."""
    from mlflow import MlflowClient

    unfinished = output_dir / f"{DATABASE}.partial"
    unfinished.unlink(missing_ok=True)
    try:
        MlflowClient(tracking_uri=sqlite_uri(unfinished)).search_experiments()
        unfinished.replace(output_dir / DATABASE)
    finally:
        unfinished.unlink(missing_ok=True)


def _lock_of(uri: str, output_dir: Path | None) -> Path:
    """The lock file of a database: creating it twice at the same time would damage it.

    In the embedded store's folder, otherwise in the shared folder of this machine.
    """
    if output_dir is not None:
        return output_dir / ".mlflow.lock"
    name = hashlib.sha256(uri.encode()).hexdigest()[:12]
    return shared_folder() / f"runner-{os.getuid()}-{name}.lock"


def _reason(error: Exception) -> str:
    from runner.host.secrets import redact

    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redact(lines[0])[:300]


@contextmanager
def explained() -> Iterator[None]:
    """Convert errors of an unavailable MLflow into TrackingUnavailable."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        kind = RefusedByTracking if _status_of(error) in REFUSALS else TrackingUnavailable
        raise kind(_reason(error)) from error


def _status_of(error: Exception) -> int | None:
    """The HTTP status of a server's answer, or the one equivalent to the store's error."""
    answer = getattr(error, "response", None)
    if answer is not None:  # for an artifact
        return int(answer.status_code)
    if named := HTTP_STATUS.search(str(error)):
        return int(named[1])
    asked = getattr(error, "get_http_status_code", None)
    return int(asked()) if asked else None
