"""Whole nights through the real program: measured, judged, published, cut off and gone on with."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from fakes.networks import NETWORKS
from fakes.nights import copied_night
from fakes.program import ROOT, run_in, start_in

from runner.records.locks import locked

DOOR = "runner.nightly"
SMALL = (
    *(
        "model=custom",
        "model.target=networks.Brief,networks.Steady,torchvision.models.squeezenet1_1",
    ),
    *("input.size=32", "input.batch_size=1", "timing.warmup=5", "timing.iterations=40"),
    *("sweep.repeats=3", "runtime.threads=1", "when_busy=warn"),
)


def night(folder, day, *words, **variables):
    return run_in(folder, *words, "--night", f"2026-11-{day:02d}", door=DOOR, **variables)


def said(folder, day):
    return json.loads((folder / f"outputs/nightly-2026-11-{day:02d}/gate.json").read_text())


@pytest.mark.alone
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_nights_unchanged_pass_and_a_planted_slowdown_is_found_and_no_other(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    first = night(tmp_path, 1, *SMALL)
    assert first.code == 6, first.out + first.err
    assert "nightly-2026-11-01 on " in first.out.splitlines()[0]
    unchanged = night(tmp_path, 2, *SMALL)
    assert unchanged.code in (0, 5), unchanged.out + unchanged.err
    assert "regression" not in said(tmp_path, 2)["counts"]
    for day in (3, 4, 5):
        copied_night(tmp_path, 2, day)
    slow = night(tmp_path, 6, *SMALL, SLOW="1.15")
    assert slow.code == 3, slow.out + slow.err
    named = [one["title"] for one in said(tmp_path, 6)["trials"] if one["verdict"] == "regression"]
    assert named == ["networks.Steady 32px b1 w5 wall"]
    assert "exit code 3: nightly-2026-11-06 on " in slow.out.splitlines()[-1]
    in_mlflow(tmp_path)


def in_mlflow(folder):
    """The verdicts stand on the trials' runs, the report on that of the night, and trends on."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "runner"]

    def runs(query):
        return client.search_runs([experiment.experiment_id], query)

    red = runs("tags.gate = 'regression' and tags.`runner.kind` = 'trial'")
    assert {run.data.tags["runner.sweep"] for run in red} == {"nightly-2026-11-06"}
    assert len(red) == 3
    (parent,) = runs("tags.`runner.kind` = 'sweep' and tags.`runner.sweep` = 'nightly-2026-11-06'")
    assert parent.data.tags["gate.exit_code"] == "3"
    assert parent.data.metrics["gate/regression"] == 1
    there = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"night.html", "night.md", "gate.json", "junit.xml", "nightly.html"} <= there
    trends = runs("tags.`runner.kind` = 'curve' and tags.`runner.axis` = 'night'")
    assert len(trends) == 3
    steady = next(run for run in trends if "Steady" in run.info.run_name)
    points = client.get_metric_history(steady.info.run_id, "lat_ms/p50")
    assert sorted(point.step for point in points) == [1, 2, 3, 4, 5, 6]
    assert max(points, key=lambda point: point.value).step == 6


LONG = (
    *("model=custom", "model.target=networks.Sleep", "input.size=8,16,24", "timing.warmup=1"),
    *("input.batch_size=1", "timing.iterations=20", "sweep.repeats=1", "tracking=off"),
    "when_busy=warn",
)


def cut_off(folder, number, records):
    """Start the night and end it by a signal once it has so many records; its exit code."""
    process = start_in(folder, *LONG, door=DOOR)
    until = time.monotonic() + 120
    while len(list(folder.glob("outputs/*/*/record.json"))) < records:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.slow
def test_a_night_that_is_cut_off_goes_on_as_the_same_night(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    assert cut_off(tmp_path, signal.SIGTERM, 1) == 130
    assert cut_off(tmp_path, signal.SIGKILL, 2) == -signal.SIGKILL
    ran = run_in(tmp_path, *LONG, door=DOOR)
    assert ran.code == 6, ran.out + ran.err  # no night before it
    (folder,) = tmp_path.glob("outputs/nightly-*")
    assert f"resuming {folder.name}" in ran.out
    assert len(list(folder.glob("*/record.json"))) == 3
    again = run_in(tmp_path, *LONG, door=DOOR)  # a second start on the same day
    assert "3 of 3 trials are done" in again.out
    assert again.code == 6
    assert list(tmp_path.glob("outputs/nightly-*")) == [folder]


@pytest.mark.slow
def test_codes_of_what_is_refused_overlaps_or_crashes(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    refused = run_in(tmp_path, *LONG, "seed=-1", "device=gpu", door=DOOR)
    assert refused.code == 2
    assert "device is gpu" in refused.err
    (tmp_path / "outputs").mkdir(exist_ok=True)
    with locked(tmp_path / "outputs/.nightly.lock", "nightly-2026-11-01"):
        overlaps = run_in(tmp_path, *LONG, door=DOOR)
    assert overlaps.code == 7, overlaps.err
    assert "not started: nightly-2026-11-01 (pid " in overlaps.out
    # a fault of the program's own, planted; it costs no result
    (tmp_path / "sitecustomize.py").write_text(
        "import runner.history.nightly as nightly\n"
        "def judge_night(*arguments): raise ZeroDivisionError('planted')\n"
        "nightly.judge_night = judge_night\n"
    )
    crashed = run_in(tmp_path, *LONG, door=DOOR, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert crashed.code == 1, crashed.out + crashed.err
    assert "planted" in crashed.err
    (tmp_path / "sitecustomize.py").unlink()
    assert run_in(tmp_path, *LONG, "--judge", door=DOOR).code == 6


@pytest.mark.slow
def test_a_trial_that_fails_has_its_code_and_the_others_are_judged(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    words = [word.replace("networks.Sleep", "networks.Brief,networks.Raises") for word in LONG]
    ran = run_in(tmp_path, *words, door=DOOR)
    assert ran.code == 4, ran.out + ran.err
    assert "1 of 1: failed: " in ran.out
    assert "hunter2" not in ran.out + ran.err
    listed = run_in(tmp_path, *words, "dry_run=true", door=DOOR)
    assert listed.code == 0
    assert "dry run, nothing was timed" in listed.out
