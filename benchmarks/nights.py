"""How long a history of nights takes to be read and judged: from disk, and from an MLflow server.

    python benchmarks/nights.py

Fourteen nights of 200 trials in 5 processes are written as records, and as runs into the database
of a real MLflow server on this machine, copied there from published ones row by row. Tonight is
another such night.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.server import Server
from fakes.trials import make_trial, timed, write_sweep

from runner import nightly
from runner.records.record import Record

FIRST = datetime(2026, 11, 1, 2, tzinfo=UTC)
IDS = ("runs", "tags", "params", "metrics", "latest_metrics")


def records_of(day: int, trials: int, processes: int) -> Iterator[Record]:
    """A night's records, 60 samples each."""
    base = timed(make_trial())
    for number in range(trials * processes):
        size = (64, 64 + number % trials)
        trial = make_trial(input={"size": size}, repeat=number // trials)
        began = FIRST + timedelta(days=day, seconds=10 * number)
        factor = 1 + 0.004 * ((number * 7919 + day * 104729) % 101 - 50) / 50
        summary = base.summary | {"p50_ms": base.summary["p50_ms"] * factor}
        yield replace(
            base,
            trial=trial,
            key=trial.key,
            title=trial.title,
            repeat=trial.repeat,
            summary=summary,
            started_at=began.isoformat(),
            ended_at=(began + timedelta(seconds=9)).isoformat(),
        )


def night_of(day: int) -> str:
    return f"nightly-{FIRST + timedelta(days=day):%Y-%m-%d}"


def judge(day: int, *words: str) -> float:
    """Seconds that the judging of a night takes, its reports included."""
    began_s = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = nightly.main(["--judge", "--night", night_of(day)[len("nightly-") :], *words])
    if code not in (0, 5):
        raise SystemExit(f"judging ended with {code}: {out.getvalue()}")
    return time.perf_counter() - began_s


def into_database(path: Path, nights: int, trials: int, processes: int) -> None:
    """Runs for all nights, each a copy of a published one with tags of its own."""
    with sqlite3.connect(path) as database:
        columns = {
            table: [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            for table in IDS
        }
        (template,) = database.execute(
            "SELECT run_uuid FROM tags WHERE key = 'runner.kind' AND value = 'trial' LIMIT 1"
        ).fetchone()
        (parent,) = database.execute(
            "SELECT run_uuid FROM tags WHERE key = 'runner.kind' AND value = 'sweep' LIMIT 1"
        ).fetchone()
        rows = {
            run: {
                table: database.execute(
                    f"SELECT * FROM {table} WHERE run_uuid = ?", (run,)
                ).fetchall()
                for table in IDS
            }
            for run in (template, parent)
        }
        for run in (template, parent):
            for table in reversed(IDS):
                database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (run,))

        def add(run: str, changes: dict[str, str], **attributes: object) -> None:
            new = uuid.uuid4().hex
            for table in IDS:
                names = columns[table]
                made = []
                for row in rows[run][table]:
                    values = dict(zip(names, row, strict=True)) | {"run_uuid": new}
                    if table == "runs":
                        values |= attributes
                    if table == "tags":
                        values["value"] = changes.get(values["key"], values["value"])
                    made.append([values[name] for name in names])
                marks = ",".join("?" * len(names))
                database.executemany(f"INSERT INTO {table} VALUES ({marks})", made)

        for day in range(nights):
            sweep = {"runner.sweep": night_of(day)}
            add(parent, sweep)
            for record in records_of(day, trials, processes):
                began_ms = round(datetime.fromisoformat(record.started_at).timestamp() * 1000)
                identity = record.trial.identity
                tags = {
                    "runner.trial_key": record.key,
                    "runner.identity": identity,
                    "runner.repeat": str(record.repeat),
                    "runner.typical_ms": str(record.typical_ms),
                }
                add(
                    template,
                    sweep | tags,
                    start_time=began_ms,
                    end_time=began_ms + 9000,
                    name=record.title,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nights", type=int, default=14)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--processes", type=int, default=5)
    options = parser.parse_args()
    sizes = options.trials, options.processes
    rows: list[tuple[str, float]] = []

    def timed_(name: str, call: Callable[[], object]) -> None:
        began_s = time.perf_counter()
        call()
        rows.append((name, time.perf_counter() - began_s))

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        outputs = Path("outputs")
        for day in range(options.nights + 1):
            write_sweep(outputs, night_of(day), list(records_of(day, *sizes)))
        timed_("from disk, no index yet", lambda: judge(options.nights, "tracking=off"))
        timed_("from disk", lambda: judge(options.nights, "tracking=off"))
        server = Server(Path(folder) / "server")
        server.start()
        words = ("tracking=server", f"tracking.uri={server.uri}")
        small = Path("small")
        write_sweep(small, "template", list(records_of(0, 2, 1)), tracking="server")
        manifest = json.loads((small / "template/sweep.json").read_text())
        manifest["tracking"]["uri"] = server.uri
        (small / "template/sweep.json").write_text(json.dumps(manifest))
        from runner import publish

        with contextlib.redirect_stdout(io.StringIO()):
            publish.main(["template", "--output-dir", "small"])
        server.stop()
        into_database(Path(folder) / "server/mlflow.db", options.nights + 1, *sizes)
        server.start()
        try:
            from runner.tracking.nights import load_night
            from runner.tracking.store import open_store

            store = open_store(server.uri, "runner", outputs)
            timed_(
                "all nights read from the server",
                lambda: [load_night(store, night_of(day)) for day in range(options.nights)],
            )
            timed_(
                "judged and published there, first night with trends",
                lambda: judge(options.nights, *words, "nightly.history=mlflow"),
            )
        finally:
            server.stop()
        shutil.rmtree(outputs)
    print("| 14 nights x 200 trials x 5 processes | seconds |\n|---|---:|")
    for name, seconds in rows:
        print(f"| {name} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
