"""Records by name, on this disk or as artifacts of MLflow runs."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runner.contract import NothingThere, TrackingUnavailable, Unreadable
from runner.host.addresses import store_address
from runner.records.record import Record
from runner.records.selection import LATEST, Selection, select
from runner.records.store import RECORD, load
from runner.tracking.store import connect, explained

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RUN_ID = re.compile(r"[0-9a-f]{32}")
PAGE = 1000  # runs for each query


def result_options() -> argparse.ArgumentParser:
    """The options of all commands that read results, for `parents=[result_options()]`."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="as output_dir")
    parser.add_argument(
        "--tracking-uri", type=store_address, help="read this MLflow store instead of the disk"
    )
    return parser


def find(word: str, output_dir: Path, tracking_uri: str | None = None) -> Selection:
    """The records that `word` names.

    An MLflow run id is looked up in the store at `tracking_uri`, by default the one below
    `output_dir`; a parent's means its trials. A sweep's id or `latest` means one on this disk, or
    in the store if its URI is given. Raises NothingThere.
    """
    try:
        if RUN_ID.fullmatch(word):
            return _of_run(connect(tracking_uri, output_dir), word)
        if tracking_uri is not None and not os.path.exists(word):
            return _of_sweep(connect(tracking_uri, output_dir), word)
    except TrackingUnavailable as reason:
        raise NothingThere(f"{word} can't be read from MLflow: {reason}") from reason
    return select(word, output_dir)


def _of_run(client: MlflowClient, run_id: str) -> Selection:
    with explained():
        run = client.get_run(run_id)
    kind, sweep_id = (run.data.tags.get(f"runner.{name}") for name in ("kind", "sweep"))
    if kind == "trial":
        return _downloaded(client, run.info.run_name, [run])
    if kind is None:
        raise NothingThere(f"the MLflow run {run_id} was not logged by runner")
    return _of_sweep(client, str(sweep_id))


def _of_sweep(client: MlflowClient, word: str) -> Selection:
    sweep_id = word
    if match := LATEST.fullmatch(word):
        newest = list(_sweeps(client, int(match[1] or 0) + 1))
        if len(newest) <= int(match[1] or 0):
            raise NothingThere(f"{word} was requested, but MLflow has {len(newest)} sweeps")
        sweep_id = newest[-1]
    if "'" in sweep_id:
        raise NothingThere(f"{sweep_id} is not the id of a sweep")
    runs = list(_trials(client, f"tags.`runner.sweep` = '{sweep_id}'"))
    if not runs:
        raise NothingThere(f"MLflow has no trial of a sweep {sweep_id}")
    return _downloaded(client, sweep_id, runs)


def _trials(client: MlflowClient, query: str = "") -> Iterator[Run]:
    """Runs of trials in all experiments, the most recent first."""
    kind = "tags.`runner.kind` = 'trial'"
    with explained():
        experiments = [one.experiment_id for one in client.search_experiments()]
        token = None
        while True:
            page = client.search_runs(
                experiments,
                " and ".join(filter(None, (kind, query))),
                max_results=PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            yield from page
            if not (token := page.token):
                return


def _sweeps(client: MlflowClient, most: int) -> Iterator[str]:
    """The ids of the most recent sweeps."""
    seen: set[str] = set()
    for run in _trials(client):
        if len(seen) == most:
            return
        sweep_id = run.data.tags.get("runner.sweep")
        if sweep_id and sweep_id not in seen:
            seen.add(sweep_id)
            yield sweep_id


def _downloaded(client: MlflowClient, name: str, runs: list[Run]) -> Selection:
    """The records in the artifacts of runs, in the order they ran."""
    records: list[Record] = []
    notes = []
    for run in runs:
        with tempfile.TemporaryDirectory() as folder:
            try:
                with explained():
                    path = client.download_artifacts(run.info.run_id, RECORD, folder)
                records.append(load(Path(path)))
            except (TrackingUnavailable, Unreadable) as reason:
                notes.append(f"the MLflow run {run.info.run_id} has no readable record: {reason}")
    if not records:
        raise NothingThere("; ".join(notes[:3]))
    records.sort(key=lambda record: record.started_at)
    return Selection(name, tuple(records), tuple(notes))
