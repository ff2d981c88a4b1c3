"""What a team's server takes: many processes publishing trials to MLflow on PostgreSQL at once.

    python benchmarks/fleet.py

The server and its database run on this machine (cluster/mlflow.sh), as do the processes, so that
they share its CPUs: what the server's CPU does for a run is the figure that carries over.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.cluster import Team
from fakes.trials import make_trial, timed

from runner.records.store import save
from runner.tracking import runs
from runner.tracking.store import open_store


def publish(uri: str, number: int, count: int, folder: Path) -> None:
    """One host: a sweep of so many trials, each published as it would be after its timing."""
    store = open_store(uri, "fleet", folder)
    sweep_id = f"host{number}"
    parent_id = runs.open_parent(store, sweep_id, sweep_id, count)
    base = timed(make_trial(), n=100, host={"host": sweep_id})
    path = folder / sweep_id / "record.json"
    path.parent.mkdir(parents=True)
    began = datetime.now(UTC)
    took_s = []
    for at in range(count):
        trial = make_trial(input={"size": (64, 64 + at)})
        started = (began + timedelta(seconds=at)).isoformat()
        record = replace(
            base, trial=trial, key=trial.key, title=trial.title, sweep_id=sweep_id,
            started_at=started, ended_at=started,
        )  # fmt: skip
        save(record, path)
        began_s = time.perf_counter()
        runs.publish(store, record, path, parent_id)
        took_s.append(time.perf_counter() - began_s)
    runs.close_parent(store, parent_id, "FINISHED")
    (folder / f"{sweep_id}.json").write_text(json.dumps(took_s))


def server_cpu_s(folder: Path) -> float:
    """CPU seconds of the server's and the database's processes, those that have ended included."""
    total = 0.0
    for file in ("mlflow.pid", "pg/postmaster.pid"):
        root = psutil.Process(int((folder / file).read_text().split()[0]))
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--workers", type=int, default=4, help="of the server (4)")
    parser.add_argument("--as-host", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_host:
        uri, number, count, folder = options.as_host
        publish(uri, int(number), int(count), Path(folder))
        return
    each = options.trials // options.processes
    with tempfile.TemporaryDirectory(prefix="fleet") as name:
        folder = Path(name)
        folder.chmod(0o755)
        team = Team(folder / "team", options.workers)
        try:
            before_s, began_s = server_cpu_s(folder / "team"), time.perf_counter()
            hosts = [
                subprocess.Popen(
                    [sys.executable, __file__, "--as-host", team.uri, str(number), str(each), name]
                )
                for number in range(options.processes)
            ]
            failed = sum(host.wait() != 0 for host in hosts)
            wall_s, cpu_s = time.perf_counter() - began_s, server_cpu_s(folder / "team") - before_s
            found = [s for path in folder.glob("host*.json") for s in json.loads(path.read_text())]
            experiments = [one.experiment_id for one in team.client().search_experiments()]
            there, token = 0, None
            query = "tags.`runner.kind` = 'trial' and attributes.status = 'FINISHED'"
            while True:
                page = team.client().search_runs(
                    experiments, query, max_results=1000, page_token=token
                )
                there += len(page)
                if not (token := page.token):
                    break
            artifacts = sum(
                p.stat().st_size for p in (folder / "team/artifacts").rglob("*") if p.is_file()
            )
            database = sum(
                p.stat().st_size for p in (folder / "team/pg/base").rglob("*") if p.is_file()
            )
        finally:
            team.script("down")
    found.sort()
    total = each * options.processes
    print("| figure | value |\n|---|---:|")
    print(
        f"| trials by {options.processes} processes, {options.workers} server workers | {total} |"
    )
    print(f"| there afterwards / processes that failed | {there} / {failed} |")
    print(f"| runs a second | {total / wall_s:.1f} |")
    slow = f"{median(found):.2f}, {found[int(0.99 * len(found))]:.2f}, {found[-1]:.2f}"
    print(f"| a run: median, 99 %, slowest, s | {slow} |")
    print(f"| CPU of server and database for a run, ms | {1000 * cpu_s / total:.1f} |")
    print(f"| CPUs that they took on average, of {psutil.cpu_count()} | {cpu_s / wall_s:.2f} |")
    print(f"| database for a run, KiB | {database / total / 1024:.1f} |")
    print(f"| artifacts for a run, KiB | {artifacts / total / 1024:.1f} |")


if __name__ == "__main__":
    main()
