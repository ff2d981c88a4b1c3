"""What large sweeps cost: the check of their points, a thousand trials, ten thousand records.

    python benchmarks/scale.py --points 1000 10000 --trials 1000 --records 10000

Checks grids of so many points by a dry run; runs a sweep of a network that does nothing, and
watches the time between its first and last trials, and memory and open files of the program and
of the forkserver; and times what a start does with so many records. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import psutil
from per_trial import NOOP
from processes import RUNNER, cost_of, machine, print_table

CHUNK = 100  # trials at the start and at the end
NOTHING = ("model=custom", "model.target=noop.make", "input.size=32", "device=cpu")
ONE = (*NOTHING, "timing.iterations=10", "timing.warmup=0")


def check(folder: Path, points: int) -> Iterator[list[str]]:
    """The time for a dry run of so many points."""
    words = [*RUNNER, "model=resnet18,vit_b_16", "dry_run=true", "input.size=224"]
    cost = cost_of([*words, f"seed=range(0,{points // 2})"], folder)
    goal = {1000: "5", 10_000: "40"}.get(points, "")
    yield [f"check of {points} points, wall s", f"{cost.wall_s:.2f}", goal]


class Watch(threading.Thread):
    """Memory and open files of a program and its forkserver, while it runs."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._main = psutil.Process(pid)
        self.seen: dict[str, list[tuple[float, int]]] = {"program": [], "forkserver": []}

    def run(self) -> None:
        while True:
            try:
                for name, process in self._processes():
                    mib = process.memory_full_info().uss / 2**20
                    self.seen[name].append((mib, process.num_fds()))
            except psutil.Error:
                return
            time.sleep(1.0)

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        yield "program", self._main
        for child in self._main.children():
            if "forkserver" in " ".join(child.cmdline()):
                yield "forkserver", child


def run(folder: Path, trials: int) -> Iterator[list[str]]:
    """A sweep of so many trials: what the first cost, and the last."""
    words = [*RUNNER, *ONE, f"seed=range(0,{trials})", "sweep.id=large"]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL) as program:
        watch = Watch(program.pid)
        watch.start()
        program.wait()
    records = [json.loads(path.read_text()) for path in folder.glob("outputs/large/*/record.json")]
    assert len(records) == trials, f"{len(records)} records"
    began = sorted(datetime.fromisoformat(record["started_at"]) for record in records)
    gaps_s = [(b - a).total_seconds() for a, b in pairwise(began)]
    for name, part in (("first", gaps_s[:CHUNK]), ("last", gaps_s[-CHUNK:])):
        value = f"{statistics.median(part):.3f} ({min(part):.3f})"
        yield [f"a trial among the {name} {CHUNK} of {trials}, wall s (least)", value, "0.15"]
    for name, seen in watch.seen.items():
        parts = [seen[len(seen) * tenth // 10] for tenth in range(1, 10)]
        mib, files = zip(*parts, strict=True)
        yield [f"memory of the {name}, MiB, by tenths", " ".join(f"{x:.0f}" for x in mib), "flat"]
        yield [f"open files of the {name}, by tenths", " ".join(map(str, files)), "flat"]


def records(folder: Path, count: int) -> Iterator[list[str]]:
    """What a start does with so many records: read them, show them, compare with MLflow."""
    from rich.console import Console

    from runner.records.manifest import Planned, load_manifest, save_manifest
    from runner.records.store import load, save
    from runner.sweep.resume import records_there
    from runner.terminal.table import show
    from runner.tracking.journal import Journal, unsent
    from runner.tracking.store import open_store

    cost_of([*RUNNER, *ONE, "timing.iterations=100", "sweep.id=one"], folder)
    outputs = folder / "outputs"
    (source,) = (outputs / "one").glob("*/record.json")
    template, many = load(source), outputs / "many"
    many.mkdir()
    planned = []
    for seed in range(count):
        trial = replace(template.trial, seed=seed)
        planned.append(Planned(trial.folder, trial.key, 0, f"{trial.title} seed {seed}", "cpu"))
        (many / trial.folder).mkdir()
        record = replace(template, trial=trial, key=trial.key, sweep_id="many")
        text = json.dumps(asdict(record), indent=1)
        (many / trial.folder / "record.json").write_text(text)
    manifest = replace(load_manifest(outputs / "one"), sweep_id="many", trials=tuple(planned))
    save_manifest(manifest, many)

    started = time.perf_counter()
    manifest = load_manifest(many)
    found = [record for _, record in records_there(manifest, many)]
    read_s = time.perf_counter() - started
    yield [f"reading {count} records, s", f"{read_s:.2f}", "5"]

    started = time.perf_counter()
    with (folder / "table.txt").open("w") as file:
        show(found, Console(file=file, width=140))
    yield [f"the table of {count} records, s", f"{time.perf_counter() - started:.2f}", "5"]

    store = open_store(None, "runner", outputs)
    journal = Journal(many)
    journal.read(store)
    (sent,) = (outputs / "one").glob("mlflow.jsonl")
    run_id = json.loads(sent.read_text().splitlines()[-1])["run"]
    paths = [many / one.folder / "record.json" for one in planned]
    for path in paths:
        journal.add(path, run_id)
    started = time.perf_counter()
    again = Journal(many)
    again.read(store)
    missing = [path for path in paths if not again.has(path)]
    assert not missing
    assert not unsent(many)
    yield [f"what of {count} records is in MLflow, s", f"{time.perf_counter() - started:.2f}", "5"]
    save(template, source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--records", type=int, default=10_000)
    arguments = parser.parse_args()
    rows: list[list[str]] = []
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "noop.py").write_text(NOOP)
        for points in arguments.points:
            rows += check(folder, points)
        if arguments.records:
            rows += records(folder, arguments.records)
        if arguments.trials:
            rows += run(folder, arguments.trials)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_table(["what", "value", "goal"], rows)
    print(machine())


if __name__ == "__main__":
    main()
