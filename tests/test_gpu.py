"""What only a real GPU can show; skipped with a reason where there is none."""

from __future__ import annotations

import pytest
import torch
from conftest import make_trial

from runner import worker
from runner.measure.device import TorchDevice
from runner.measure.loop import measure
from runner.trial import Timing

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine"),
]


def run(method: str, **changes):
    timing = {"method": method, "warmup": 20, "iterations": 50}
    trial = make_trial(
        model={"name": "resnet50"},
        input={"size": (640, 640), "batch_size": 8},
        timing=timing,
        device="cuda",
        **changes,
    )
    outcome = worker.run(trial, "process", worker.Path("worker.log"), lambda phase, seconds: None)
    assert outcome.status == "completed", outcome.error
    return outcome


def median(values):
    return sorted(values)[len(values) // 2]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_event_and_wall_agree_and_event_is_not_the_longer():
    event, wall = median(run("event").latency_ms), median(run("wall").latency_ms)
    assert event == pytest.approx(wall, rel=0.02)
    assert event <= wall * 1.005


def test_naive_hides_device_work():
    outcome = run("naive")
    assert outcome.series["hidden_device_ms"] > 0
    assert run("event").series["hidden_device_ms"] < 1


def test_events_grow_in_step_with_the_work():
    device = TorchDevice(torch.device("cuda"))
    medians = []
    for factor in (1, 2, 4):
        sleep = lambda cycles=factor * 20_000_000: torch.cuda._sleep(cycles)  # noqa: E731
        medians.append(median(measure(sleep, device, Timing("event", 5, 30, None)).latency_ms))
    assert medians[1] / medians[0] == pytest.approx(2, rel=0.01)
    assert medians[2] / medians[0] == pytest.approx(4, rel=0.01)


def test_the_gpu_is_named_in_the_record():
    outcome = run("event")
    for name in ("gpu", "gpu_uuid", "gpu_driver", "cuda", "cudnn"):
        assert outcome.environment[name]
    assert outcome.effective["tf32_cudnn"] in (True, False)


def test_a_batch_that_does_not_fit_is_out_of_memory():
    trial = make_trial(input={"size": (1024, 1024), "batch_size": 2048}, device="cuda")
    outcome = worker.run(trial, "process", worker.Path("worker.log"), lambda phase, seconds: None)
    assert outcome.status == "out_of_memory", outcome.error
