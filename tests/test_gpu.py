"""What only a real GPU can show; skipped with a reason where there is none."""

from __future__ import annotations

import sys

import pytest
import torch
from conftest import ROOT, make_trial, run_in

from runner import worker
from runner.verdict import verdict_of

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine"),
]


def run(method: str, batch_size: int = 8):
    trial = make_trial(
        model={"name": "resnet50"},
        input={"size": (640, 640), "batch_size": batch_size},
        timing={"method": method, "warmup": 20, "iterations": 50},
        device="cuda",
    )
    outcome = worker.run(trial, "process", worker.Path("worker.log"))
    assert outcome.status == "completed", outcome.error
    return outcome


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("oracle", gpu.ORACLES, ids=lambda oracle: oracle.__name__)
def test_an_oracle_of_the_benchmarks_is_met(oracle):
    if oracle in (gpu.without_gaps, gpu.peers):
        pytest.importorskip("triton", reason="compares with triton.testing")
    missed = [figure for figure in oracle() if not figure.met]
    assert missed == []


def test_naive_hides_device_work():
    naive = run("naive")
    assert naive.series["hidden_device_ms"] > 0
    assert naive.series["synced_ms"] > 0
    assert run("event").series["hidden_device_ms"] < 1


def test_the_gpu_is_named_in_the_record_and_was_looked_at():
    outcome = run("event")
    for name in ("gpu", "gpu_uuid", "gpu_driver", "cuda", "cudnn"):
        assert outcome.environment[name]
    assert outcome.effective["tf32_cudnn"] in (True, False)
    report = outcome.contention["gpu"]
    assert report["sm_clock_mhz"] or report["unknown"]
    assert len(report["sm_clock_mhz"] or [0] * 12) == 12  # eleven looks at blocks, one under load


def test_launch_costs_are_looked_at_after_every_method():
    for method in ("event", "wall", "queued", "graph", "pipelined"):
        series = run(method).series
        assert 0 < series["queued_ms"] <= series["event_ms"] * 1.02, method
        assert series["enqueue_ms"] > 0


def test_the_articles_sweep_judges_its_rows(tmp_path):
    ran = run_in(tmp_path, "sweep=methods", "model=resnet18", "device=cuda", "tracking=off")
    assert ran.code == 0, ran.out + ran.err
    cold, naive, event = ran.records()
    assert "NO_SYNC" in {reason["code"] for reason in naive.reasons}
    assert cold.verdict == "invalid"
    assert event.trial["timing"]["method"] == "event"
    assert event.verdict in ("valid", "suspect", "invalid")
    assert verdict_of([]) == "valid"


def test_a_batch_that_does_not_fit_is_out_of_memory():
    trial = make_trial(input={"size": (1024, 1024), "batch_size": 2048}, device="cuda")
    outcome = worker.run(trial, "process", worker.Path("worker.log"))
    assert outcome.status == "out_of_memory", outcome.error
