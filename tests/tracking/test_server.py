"""Against a real MLflow server on this machine: one that stays and one that goes away."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys

import pytest
from fakes.networks import NETWORKS
from fakes.program import ROOT, run_doctor, run_in, start_in, until
from fakes.server import Server

from runner.records.store import load

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path):
    """A server that is up."""
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.stop()


def test_a_server_gets_the_runs_and_the_terminal_only_our_own_lines(server, tmp_path):
    uri = server.uri
    ran = run_in(
        tmp_path, "model=simulated", "timing.warmup=1,2", "tracking=server", f"tracking.uri={uri}"
    )
    assert ran.code == 0, ran.out + ran.err
    assert "View run" not in ran.out + ran.err
    assert f"{uri}/#/experiments/1/runs" in ran.out
    assert "not there" not in ran.out
    done = run_doctor(tmp_path, "--tracking-uri", uri, "--output-dir", "nowhere")
    (line,) = [line for line in done.stdout.splitlines() if "MLflow" in line]
    assert line.startswith("ok"), line
    assert not (tmp_path / "nowhere").exists()


SLEEPS = ("model=custom", "model.target=networks.Sleep", "timing.warmup=1")
NAMES = [(f"networks.Sleep {size}px b1 w1 wall", "FINISHED") for size in (16, 24, 8)]
SWEEP = ("networks.Sleep x 3 sizes", "FINISHED")


def publish(folder, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m runner.publish` in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "runner.publish", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_server_that_goes_away_in_mid_sweep_costs_no_result_and_gets_the_rest_later(
    server, tmp_path
):
    (tmp_path / "networks.py").write_text(NETWORKS)
    where = ("tracking=server", f"tracking.uri={server.uri}")
    sweep = subprocess.Popen(
        [
            sys.executable, "-m", "runner", *SLEEPS, *where, "sweep.id=night",
            "input.size=8,16,24", "timing.iterations=40",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    first = sweep.stdout.readline()
    assert first.startswith("[1/3]"), first
    server.stop()
    out, err = sweep.communicate(timeout=200)
    assert sweep.returncode == 0, out + err
    assert out.count("warning: MLflow is unavailable") == 1
    assert "MLflow    2 of 3 trials are not published" in out
    assert "the next sweep publishes them, or python -m runner.publish night" in out
    assert len(list(tmp_path.glob("outputs/*/*/record.json"))) == 3
    refused = publish(tmp_path, "night")
    assert refused.returncode == 1
    assert "night: not published" in refused.stdout
    server.start()
    brought = publish(tmp_path)
    assert (brought.returncode, brought.stderr) == (0, "")
    assert brought.stdout == "night: 2 published to MLflow, 1 already there\n"
    assert publish(tmp_path).stdout == "night: 0 published to MLflow, 3 already there\n"
    assert server.runs() == [*NAMES, SWEEP]


def test_a_server_that_comes_back_in_mid_sweep_is_used_again_and_gets_what_waits(server, tmp_path):
    """What this sweep could not send, and what an earlier one could not."""
    (tmp_path / "networks.py").write_text(NETWORKS)
    where = ("tracking=server", f"tracking.uri={server.uri}")
    quick = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    server.stop()
    alone = run_in(tmp_path, *SLEEPS, *where, "input.size=8", "sweep.id=earlier",
                   "timing.iterations=10", **quick)  # fmt: skip
    assert "1 of 1 trials are not published" in alone.out
    sweep = subprocess.Popen(
        [
            sys.executable, "-m", "runner", *SLEEPS, *where, "sweep.id=night",
            "input.size=8,16,24", "timing.iterations=250",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | quick,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert "MLflow is unavailable" in sweep.stdout.readline()
    server.start()
    out, _ = sweep.communicate(timeout=200)
    assert sweep.returncode == 0, out
    assert "not there" not in out
    assert "also published: 1 of earlier" in out
    assert server.runs() == [NAMES[0], NAMES[1], NAMES[2], NAMES[2], SWEEP]


def test_a_server_that_never_answers_takes_no_time_from_the_trials(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ran = run_in(
            tmp_path, *SLEEPS, "input.size=8,16", "timing.iterations=10", "tracking=server",
            f"tracking.uri={uri}", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            MLFLOW_HTTP_REQUEST_TIMEOUT="2",
        )  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    assert ran.out.count("warning: MLflow is unavailable") == 1
    assert "2 of 2 trials are not published" in ran.out


def test_a_server_that_goes_silent_keeps_no_other_sweep_from_the_device(server, tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    locks = {"RUNNER_LOCK_DIR": str(tmp_path)}
    words = ("model=custom", "model.target=networks.Silences", "input.size=8",
             "timing.iterations=10", "tracking=server", f"tracking.uri={server.uri}")  # fmt: skip
    first = start_in(
        tmp_path, *words, "sweep.id=first", SERVER_PID=str(server.pid),
        MLFLOW_HTTP_REQUEST_TIMEOUT="60", **locks,
    )  # fmt: skip
    until(lambda: any(tmp_path.glob("outputs/first/*/record.json")))
    ran = run_in(
        tmp_path, "model=custom", "model.target=networks.Brief", "input.size=8", "tracking=off",
        **locks,
    )  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    assert first.poll() is None  # it still waits for an answer
    first.kill()
    first.communicate()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 6 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here, as only root can")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_under_mlflow_costs_no_result(small_disk, tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS + FILLS)
    words = ("model=custom", "model.target=networks.Fills", "input.size=8,16",
             "timing.iterations=10", "tracking=server",
             f"tracking.uri=sqlite:///{small_disk}/mlflow.db", "sweep.id=night")  # fmt: skip
    ran = run_in(tmp_path, *words)
    assert ran.code == 0, ran.out + ran.err
    assert "Traceback" not in ran.err
    assert ran.out.count("warning: MLflow is unavailable") == 1
    assert "2 of 2 trials are not published" in ran.out
    (small_disk / "rest").unlink()
    brought = publish(tmp_path)
    assert brought.stdout == "night: 2 published to MLflow, 0 already there\n", brought.stderr


def test_a_full_disk_under_the_records_ends_the_sweep_which_goes_on_when_there_is_room(
    small_disk, tmp_path
):
    (tmp_path / "networks.py").write_text(NETWORKS + FILLS)
    words = ("model=custom", "model.target=networks.Identity,networks.Fills", "input.size=8",
             "timing.iterations=10", "tracking=off", f"output_dir={small_disk}/outputs",
             "sweep.id=night")  # fmt: skip
    ran = run_in(tmp_path, *words)
    assert ran.code == 1
    assert "record.json can't be written: No space left on device; free some space" in ran.err
    assert "Traceback" not in ran.err
    (small_disk / "rest").unlink()
    ran = run_in(tmp_path, *words)
    assert ran.code == 0, ran.out + ran.err
    assert "resuming night: 1 of 2 trials are done" in ran.out


@pytest.mark.parametrize("free_kib", [0, 4, 12, 24, 40])
def test_a_full_disk_ends_the_sweep_at_the_first_file_and_leaves_no_half_of_one(
    small_disk, tmp_path, free_kib
):
    outputs, fill = small_disk / "outputs", small_disk / "fill"
    words = ("model=simulated", "sweep.repeats=4", "tracking=off", f"output_dir={outputs}",
             "sweep.id=night")  # fmt: skip
    fill.write_bytes(bytes(6 * 2**20 - free_kib * 2**10 - 4096))  # its folders take some
    ran = run_in(tmp_path, *words)
    assert ran.code == 1
    assert "can't be written: No space left on device" in ran.err
    assert "Traceback" not in ran.err
    written = [one for one in outputs.rglob("*") if one.is_file() and one.name != "worker.log"]
    assert [one.name for one in written if one.suffix == ".partial"] == []
    assert [one.name for one in written if one.name.startswith("report")] == []
    kept = [load(one) for one in outputs.glob("*/*/record.json")]
    fill.unlink()
    ran = run_in(tmp_path, *words)
    assert ran.code == 0, ran.out + ran.err
    assert {one.started_at for one in kept} <= {
        load(one).started_at for one in outputs.glob("*/*/record.json")
    }


FILLS = '''
class Fills(torch.nn.Module):
    """Fills the small disk, once."""
    def forward(self, x):
        if not os.path.exists("filled"):
            open("filled", "w").close()
            with open("small/rest", "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 512)
                except OSError:
                    pass
        return x
'''


def test_a_locked_database_costs_no_result(program):
    assert program("model=simulated", "sweep.id=first").code == 0
    folder = program("model=simulated", "dry_run=true").folder
    with sqlite3.connect(folder / "outputs" / "mlflow.db") as database:
        database.execute("BEGIN EXCLUSIVE")
        ran = program("model=simulated", "sweep.id=second")
        database.rollback()
    assert ran.code == 0, ran.out + ran.err
    assert "locked" in ran.out
    assert "1 of 1 trials are not published" in ran.out
    third = program("model=simulated", "sweep.id=third")
    assert "also published: 1 of second" in third.out
