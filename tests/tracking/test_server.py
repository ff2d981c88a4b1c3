"""Against a real MLflow server on this machine: one that stays and one that goes away."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from fakes.networks import NETWORKS
from fakes.program import ROOT, run_doctor, run_in

SECONDS = 90  # that a server may take to come up on a busy machine


@pytest.fixture
def server(tmp_path):
    """The URI and the process of a server that is up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--workers", "1",
            "--host", "127.0.0.1", "--port", str(port),
            "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination", str(folder / "artifacts"),
        ],
        cwd=folder,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    uri, until = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)
    yield uri, process
    end(process)


def end(process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_server_gets_the_runs_and_the_terminal_only_our_own_lines(server, tmp_path):
    uri, _ = server
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


def test_a_server_that_goes_away_in_mid_sweep_costs_no_result_and_the_missing_are_counted(
    server, tmp_path
):
    uri, process = server
    (tmp_path / "networks.py").write_text(NETWORKS)
    sweep = subprocess.Popen(
        [
            sys.executable, "-m", "runner", "model=custom", "model.target=networks.Sleep",
            "input.size=8,16,24", "timing.iterations=40", "timing.warmup=1",
            "tracking=server", f"tracking.uri={uri}",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    first = sweep.stdout.readline()
    assert first.startswith("[1/3]"), first
    end(process)
    out, err = sweep.communicate(timeout=200)
    assert sweep.returncode == 0, out + err
    assert out.count("warning: MLflow can't be used") == 1
    assert "MLflow    2 of 3 trials are not there" in out
    assert len(list(tmp_path.glob("outputs/*/*/record.json"))) == 3
