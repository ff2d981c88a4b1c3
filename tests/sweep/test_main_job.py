"""The main job through the real program, as a user types it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from fakes.networks import NETWORKS
from fakes.program import NO_LINES, ROOT, run_in, start_in

QUICK = ("timing.warmup=2", "timing.iterations=5", "runtime.threads=1")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two sizes of a small model, one of them in two repeats' worth of processes."""
    folder = tmp_path_factory.mktemp("sweep")
    return run_in(folder, "model=squeezenet1_1", "input.size=64,[64,96]", *QUICK, "-m")


def test_two_trials_are_timed_recorded_and_shown(sweep):
    assert sweep.code == 0, sweep.out + sweep.err
    assert sweep.err == ""
    first, second = sweep.records()
    assert (first.trial.input.size, second.trial.input.size) == ((64, 64), (64, 96))
    assert [len(first.warmup_ms), len(first.latency_ms)] == [2, 5]
    assert first.summary["mean_ms"] > 0
    assert first.environment["pid"] != second.environment["pid"]
    for text in (
        "[1/2] squeezenet1_1 64px b1 w2 wall: p50",
        "64x96",
        "weights   random",
        "records ",
    ):
        assert text in sweep.out


def test_mlflow_has_two_children_under_one_parent(sweep):
    with sqlite3.connect(sweep.folder / "outputs" / "mlflow.db") as database:
        names = {
            row[0]: row[1:] for row in database.execute(f"SELECT run_uuid, name, status {NO_LINES}")
        }
        parents = dict(
            database.execute(
                f"SELECT run_uuid, value FROM tags WHERE key = 'mlflow.parentRunId' "
                f"AND run_uuid IN (SELECT run_uuid {NO_LINES})"
            )
        )
        numbers = database.execute(
            "SELECT count(*) FROM params WHERE key = 'input.size'"
        ).fetchone()
    assert len(names) == 3
    assert {status for _, status in names.values()} == {"FINISHED"}
    assert len(parents) == 2
    assert len(set(parents.values())) == 1
    assert numbers == (3,)  # the sweep's own has all of them


def test_the_command_for_the_ui_and_the_link_are_printed(sweep):
    assert "mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db" in sweep.out
    assert f"viewStateShareKey={sweep.records()[0].sweep_id}" in sweep.out  # a view with columns


def test_nothing_but_the_sweep_the_store_and_its_lock_is_left(sweep):
    names = sorted(path.name for path in (sweep.folder / "outputs").iterdir())
    assert names[0] == ".mlflow.lock"
    assert {"mlartifacts", "mlflow.db"} < set(names)
    assert len(names) == 4


def test_the_environment_is_in_every_record(sweep):
    environment = sweep.records()[0].environment
    for name in (
        "host",
        "os",
        "python",
        "torch",
        "torchvision",
        "cpu",
        "usable_cpus",
        "pid",
        "cudnn",
    ):
        assert name in environment
    assert environment["gpu"] or environment["gpu_reason"]
    assert environment["command"][1:3] == ["model=squeezenet1_1", "input.size=64,[64,96]"]


def test_a_sweep_is_never_overwritten(sweep):
    name = sweep.records()[0].sweep_id
    again = run_in(sweep.folder, f"sweep.id={name}", "model=squeezenet1_1")
    assert again.code == 2
    assert "use the same command, give another sweep.id" in again.err


def test_a_failed_trial_does_not_stop_the_others(program):
    ran = program(
        "model=custom",
        "model.target=networks.Identity,networks.Raises,networks.Dies,networks.Sleep",
        "input.size=32",
        *QUICK,
    )
    assert ran.code == 1
    assert [record.status for record in ran.records()] == [
        "completed",
        "failed",
        "failed",
        "completed",
    ]
    where = r"failed: networks.py:\d+ in forward: RuntimeError: the network is on fire"
    assert re.search(where, ran.out)
    assert "password=***" in ran.out
    assert "SIGSEGV" in ran.out
    assert "of 4 trials 2 not completed" in ran.out
    assert "hunter2" not in everything_below(ran.folder / "outputs")
    assert ran.records()[3].summary["p50_ms"] == pytest.approx(50, rel=0.05)
    with sqlite3.connect(ran.folder / "outputs" / "mlflow.db") as database:
        statuses = [row[0] for row in database.execute("SELECT status FROM runs")]
    assert sorted(statuses) == ["FAILED", "FAILED", "FAILED", "FINISHED", "FINISHED"]


def everything_below(folder) -> str:
    return "".join(
        path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file()
    )


def test_a_record_that_can_not_be_written_is_no_success(program):
    ran = program("model=custom", "model.target=networks.Vandal", "tracking=off", *QUICK)
    assert ran.code == 1
    assert "record.json can't be written: its folder is gone; check what removed it" in ran.err
    assert "Traceback" not in ran.err


def test_the_articles_sweep_prints_its_three_rows(program):
    ran = program("sweep=methods", "model=squeezenet1_1", "input.size=64", "timing.iterations=5")
    assert ran.code == 0, ran.out + ran.err
    methods = [(record.trial.timing.method, record.trial.timing.warmup) for record in ran.records()]
    assert methods[:2] == [("naive", 0), ("naive", 20)]
    assert methods[2] in (("wall", 20), ("event", 20))
    for text in ("naive w0: ", "cold start ms", "verdict", "no warm-up:"):
        assert text in ran.out
    with sqlite3.connect(ran.folder / "outputs" / "mlflow.db") as database:
        names = [name for (name,) in database.execute("SELECT name FROM runs")]
    assert any(
        name.startswith("methods: squeezenet1_1") for name in names
    )  # the parent, by its file


def test_tracking_can_be_off_and_repeats_are_rounds(program):
    ran = program(
        "model=custom",
        "model.target=networks.Identity",
        "input.size=32,64",
        "repeat=0,1",
        "tracking=off",
        *QUICK,
    )
    assert ran.code == 0, ran.out + ran.err
    records = ran.records()
    assert [record.repeat for record in records] == [0, 0, 1, 1]
    first, second = ({record.key for record in records if record.repeat == n} for n in (0, 1))
    assert first == second  # each round in an order of its own
    assert len(first) == 2
    assert not (ran.folder / "outputs" / "mlflow.db").exists()
    assert "mlflow" not in ran.out


@pytest.mark.parametrize("override", ["model.kwargs={width: 7}", "model.kwargs.width=7"])
def test_arguments_of_a_users_callable_come_from_the_command_line(program, override):
    ran = program(
        "model=custom",
        "model.target=networks.identity",
        override,
        "model.kwargs.depth=3",
        "tracking=off",
        *QUICK,
    )
    (record,) = ran.records()
    assert record.trial.model.kwargs == {"width": 7, "depth": 3}
    assert "networks.identity" in ran.out


def test_isolation_none_runs_in_this_process(program):
    ran = program(
        "model=custom", "model.target=networks.Identity", "isolation=none", "tracking=off", *QUICK
    )
    assert ran.code == 0, ran.out + ran.err
    assert "hello from the user's module" in ran.out


def test_an_unreachable_server_costs_no_result_and_no_secret(program):
    ran = program(
        "model=custom",
        "model.target=networks.Identity",
        "tracking=server",
        "tracking.uri=http://me:hunter2@127.0.0.1:9",
        *QUICK,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    assert ran.code == 0, ran.out + ran.err
    assert "warning: MLflow is unavailable" in ran.out
    assert len(ran.records()) == 1
    assert "hunter2" not in ran.out + ran.err + everything_below(ran.folder / "outputs")


def test_ctrl_c_keeps_what_was_done_and_exits_130(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    process = start_in(
        tmp_path,
        "model=custom",
        "model.target=networks.Identity,networks.Sleep",
        "timing.iterations=2000",
        "input.size=32",
        "tracking=off",
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("outputs/*/*/worker.log"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    statuses = [
        json.loads(path.read_text())["status"] for path in tmp_path.glob("outputs/*/*/record.json")
    ]
    assert sorted(statuses) == ["completed", "interrupted"]
    assert re.search(r"interrupted; \d+ samples kept$", out, re.M)


@pytest.mark.parametrize("seconds", [0.1, 0.6, 2.0, 4.0])
def test_ctrl_c_before_the_first_trial_is_no_crash(tmp_path, seconds):
    process = start_in(tmp_path, "model=resnet50", "timing.iterations=2000")
    time.sleep(seconds)
    for _ in range(3):  # Python loses an interrupt that falls into a weak reference's callback
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, err = process.communicate(timeout=60)
            break
    assert process.returncode in (130, -signal.SIGINT)  # the latter: before Python itself was up
    told = err.partition("Exception ignored")[0]  # by Python, where a callback swallows it
    # before our first line runs Python itself may end by the signal, with a traceback of its own
    assert "Traceback" not in told if process.returncode == 130 else "runner/" not in told


def test_a_folder_whose_name_looks_like_a_number_is_the_trials_own(program):
    words = ("model=simulated", "tracking=off", *QUICK)
    listed = program(*words, "seed=range(0,1000)", "dry_run=true").out
    number, folder = re.search(r"^ *(\d+)  (\d+e\d+) ", listed, re.MULTILINE).groups()  # one in 280
    ran = program(*words, f"seed={int(number) - 1},0")
    assert ran.code == 0, ran.out + ran.err
    assert len(list(ran.folder.glob(f"outputs/*/{folder}/record.json"))) == 1


def test_a_dry_run_lists_the_trials_and_leaves_nothing(program):
    ran = program("sweep=smoke", "dry_run=true")
    assert ran.code == 0
    assert "6 trials; dry run, nothing was timed" in ran.out
    assert not (ran.folder / "outputs").exists()


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        *(("methods", 3), ("warmup", 7), ("resolution", 6), ("batch", 6), ("smoke", 6)),
        *(("nightly", 80), ("precision", 18), ("engines", 9)),
    ],
)
def test_every_sweep_file_spans_its_grid(program, name, trials):
    ran = program(f"sweep={name}", "dry_run=true")
    assert f"{trials} trials; dry run" in ran.out, ran.err


def test_the_console_script_completes_model_names(tmp_path):
    words = "runner model=resnet1"
    done = subprocess.run(
        [sys.executable, "-m", "runner", "-sc", "query=bash"],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "COMP_LINE": words, "COMP_POINT": str(len(words))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["model=resnet101", "model=resnet152", "model=resnet18"]
