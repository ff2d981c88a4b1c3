"""SIGKILL at random moments, in turn to the program, a worker and the forkserver."""

from __future__ import annotations

import json
import random
import sqlite3
import time

import psutil
import pytest
from fakes.networks import NETWORKS
from fakes.program import run_in, start_in

from runner.records.manifest import load_manifest
from runner.records.store import load

SEED = 20261125
KILLS = 15
WAIT_S = 60.0
COMMAND = (
    "model=custom",
    "model.target=networks.Brief",
    "input.size=" + ",".join(str(size) for size in range(8, 20)),
    "sweep.repeats=2",
    "timing.warmup=3",
    "timing.iterations=60",
    "sweep.retry=failed",
)


def children(process: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
    try:
        return process.children(recursive)
    except psutil.Error:  # it has just ended
        return []


def forkservers(main: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in children(main):
        try:
            if "forkserver" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def targets(main: psutil.Process, kind: str) -> list[psutil.Process]:
    if kind == "main":
        return [main]
    servers = forkservers(main)
    return servers if kind == "forkserver" else [c for one in servers for c in children(one)]


def killed_one(found: list[psutil.Process]) -> bool:
    for one in found:
        try:
            one.kill()
        except psutil.NoSuchProcess:  # it has just ended
            continue
        return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_leave_one_record_and_one_run_for_each_trial(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    moments = random.Random(SEED)
    killed, sweep, program, seen = [], 0, None, set()

    def start():
        return start_in(tmp_path, *COMMAND, f"sweep.id=night{sweep}")

    program = start()
    while len(killed) < KILLS:
        kind = ("main", "worker", "forkserver")[len(killed) % 3]
        until = time.monotonic() + moments.uniform(0.0, 4.0)
        main = psutil.Process(program.pid)
        while time.monotonic() < until or not killed_one(targets(main, kind)):
            assert time.monotonic() < until + WAIT_S, f"no {kind} to kill"
            if program.poll() is not None:  # a sweep that has come home: the next one
                out, err = program.communicate()
                # 2: killed while it checked the models, and nothing was run
                looking = program.returncode == 2 and "models can't be checked" in err
                assert program.returncode in (0, 1) or looking, out + err
                sweep += program.returncode == 0
                program = start()
            time.sleep(0.01)
            main = psutil.Process(program.pid)
            seen |= {child.pid for child in children(main, recursive=True)}
        killed.append(kind)
        if kind == "main":
            program.communicate()
            program = start()
    out, err = program.communicate(timeout=240)
    assert "Traceback" not in err, err
    for number in range(sweep + 1):
        last = run_in(tmp_path, *COMMAND, f"sweep.id=night{number}")
        assert last.code == 0, last.out + last.err
        check(tmp_path / "outputs", f"night{number}")
    time.sleep(1.0)
    orphans = [pid for pid in seen if psutil.pid_exists(pid) and "python" in name_of(pid)]
    assert orphans == []


def name_of(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.name()
    except psutil.NoSuchProcess:
        return ""


def check(outputs, sweep_id: str) -> None:
    planned = load_manifest(outputs / sweep_id).trials
    assert len(planned) == 24
    for one in planned:
        record = load(outputs / sweep_id / one.folder / "record.json")
        assert (record.status, record.key, record.repeat) == ("completed", one.key, one.repeat)
        assert record.verdict
    with sqlite3.connect(outputs / "mlflow.db") as database:
        query = (
            "SELECT runs.status, tags.value FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid "
            "WHERE tags.key = 'runner.kind' AND tags.value <> 'curve' "
            "AND runs.lifecycle_stage = 'active' AND runs.run_uuid "
            "IN (SELECT run_uuid FROM tags WHERE key = 'runner.sweep' AND value = ?)"
        )
        runs = list(database.execute(query, (sweep_id,)))
    each = {"result": 12, "sweep": 1, "trial": 24}  # two processes of each of 12 trials
    assert sorted(runs) == [
        ("FINISHED", kind) for kind, count in each.items() for _ in range(count)
    ]
    journal = (outputs / sweep_id / "mlflow.jsonl").read_text().splitlines()
    assert json.loads(journal[-1])
