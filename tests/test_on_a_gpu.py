"""What only a real GPU can show; skipped with a reason where there is none."""

from __future__ import annotations

import statistics
import sys
import time

import pytest
import torch
from fakes.program import ROOT, run_in
from fakes.trials import make_trial

from runner.trial.description import Engine
from runner.worker import process as worker

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no visible NVIDIA GPU; on a host with one: -m gpu"
    ),
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
    try:
        missed = [figure for figure in oracle() if not figure.met]
    except gpu.NotHere as missing:
        pytest.skip(str(missing))
    assert missed == []


def test_naive_hides_device_work():
    naive = run("naive")
    assert naive.figures["hidden_device_ms"] > 0
    assert naive.figures["synced_ms"] > 0
    assert run("event").figures["hidden_device_ms"] < 1


def test_the_gpu_is_named_in_the_record_and_was_looked_at():
    outcome = run("event")
    for name in ("gpu", "gpu_uuid", "gpu_driver", "cuda", "cudnn"):
        assert outcome.environment[name]
    assert outcome.effective["tf32_cudnn"] in (True, False)
    report = outcome.contention["gpu"]
    assert report["unknown"].keys().isdisjoint({"sm_clock_mhz", "event_reasons"}), report["unknown"]
    assert len(report["sm_clock_mhz_between"]) == 11  # before, between and after ten blocks
    assert len(report["sm_clock_mhz"]) >= 3
    assert max(report["sm_clock_mhz"]) >= max(report["sm_clock_mhz_between"]) * 0.9
    assert report["power_w"] > 0
    assert outcome.why_null.keys() <= {"figures.gflop"}  # an addition has none that torch counts


def test_launch_costs_are_looked_at_after_every_method():
    for method in ("event", "wall", "queued", "graph", "pipelined"):
        figures = run(method).figures
        assert 0 < figures["queued_ms"] <= figures["event_ms"] * 1.02, method
        assert figures["enqueue_ms"] > 0


def test_the_articles_sweep_judges_its_rows(tmp_path):
    ran = run_in(tmp_path, "sweep=methods", "model=resnet18", "device=cuda", "tracking=off")
    assert ran.code == 0, ran.out + ran.err
    cold, naive, event = ran.records()
    assert "NO_SYNC" in {reason["code"] for reason in naive.reasons}
    assert cold.verdict == "invalid"
    assert event.trial.timing.method == "event"
    assert "NO_SYNC" not in {reason["code"] for reason in event.reasons}
    assert event.verdict in ("valid", "suspect")  # invalid: throttled, or the CPU taken by others
    assert event.summary["p50_ms"] > 0


TOO_LARGE = """
import torch

class TooLarge(torch.nn.Module):
    def forward(self, x):
        return x.new_empty(2**45)

class TooLargeInAGraph(torch.nn.Module):
    def forward(self, x):
        return x.new_empty(2**45) if torch.cuda.is_current_stream_capturing() else x + 1

class Mixes(torch.nn.Module):
    def forward(self, x):
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        torch.backends.cudnn.conv.fp32_precision = "ieee"
        return x + 1

class SideStream(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.side = torch.cuda.Stream()
    def forward(self, x):
        with torch.cuda.stream(self.side):
            torch.cuda._sleep(20_000_000)
        return x + 1
"""


def run_custom(tmp_path, name: str, method: str = "event"):
    (tmp_path / "large.py").write_text(TOO_LARGE)
    trial = make_trial(
        model={"name": "custom", "target": f"large.{name}"},
        timing={"method": method, "iterations": 20},
        device="cuda",
    )
    return worker.run(trial, "process", worker.Path("worker.log"))


@pytest.mark.parametrize(("name", "method"), [("TooLarge", "event"), ("TooLargeInAGraph", "graph")])
def test_a_network_that_does_not_fit_is_out_of_memory(tmp_path, name, method):
    outcome = run_custom(tmp_path, name, method)
    assert outcome.status == "out_of_memory", outcome.error


def test_a_network_that_sets_its_own_precision_keeps_its_record(tmp_path):
    outcome = run_custom(tmp_path, "Mixes")
    assert outcome.status == "completed", outcome.error
    assert outcome.why_null.keys() <= {"figures.gflop"}
    assert (outcome.effective["tf32_matmul"], outcome.effective["tf32_cudnn"]) == (True, False)


def test_work_on_another_stream_is_hidden_from_events(tmp_path):
    assert run_custom(tmp_path, "SideStream").figures["hidden_device_ms"] > 1


@pytest.mark.parametrize(
    ("name", "size"), [("fasterrcnn_resnet50_fpn", 320), ("swin_v2_b", 256), ("raft_large", 256)]
)
def test_networks_that_may_not_be_queued_end_with_a_reason(name, size):
    task = {"fasterrcnn_resnet50_fpn": "detection", "raft_large": "optical_flow"}
    trial = make_trial(
        model={"name": name, "task": task.get(name, "classification")},
        input={"size": (size, size)},
        timing={"method": "event", "iterations": 10},
        device="cuda",
    )
    began = time.monotonic()
    outcome = worker.run(trial, "process", worker.Path("worker.log"))
    assert outcome.status == "completed", outcome.error
    assert (outcome.figures["queued_ms"] is None) == ("figures.queued_ms" in outcome.why_null)
    assert time.monotonic() - began < 120


def test_a_detector_is_no_graph_and_told_to_use_events():
    trial = make_trial(
        model={"name": "fasterrcnn_resnet50_fpn", "task": "detection"},
        input={"size": (320, 320)},
        timing={"method": "graph"},
        device="cuda",
    )
    outcome = worker.run(trial, "process", worker.Path("worker.log"))
    assert outcome.status == "failed"
    assert "use timing.method=event" in outcome.error["message"]


def test_what_measuring_takes_is_not_in_the_peak():
    peaks = {}
    for cache in ("warm", "flush", "rotate"):
        trial = make_trial(timing={"method": "event", "cache": cache}, device="cuda")
        outcome = worker.run(trial, "process", worker.Path("worker.log"))
        peaks[cache] = outcome.figures["peak_mib"]
    assert max(peaks.values()) - min(peaks.values()) < 2, peaks


def faster(method="event", engine="eager", **runtime):
    trial = make_trial(
        model={"name": "resnet50"},
        input={"size": (224, 224), "batch_size": 32},
        timing={"method": method, "warmup": 20, "iterations": 50},
        runtime=runtime,
        engine=Engine(engine),
        device="cuda",
    )
    outcome = worker.run(trial, "process", worker.Path("worker.log"))
    assert outcome.status == "completed", outcome.error
    return outcome


def typical_ms(outcome):
    return statistics.median(outcome.latency_ms)


@pytest.mark.parametrize(
    ("precision", "weights", "output", "most"),
    [
        ("tf32", "float32", "float32", 1e-2),
        ("bf16", "bfloat16", "bfloat16", 5e-2),
        ("fp16", "float16", "float16", 1e-2),
        ("amp_bf16", "float32", "bfloat16", 5e-2),
        ("amp_fp16", "float32", "float16", 1e-2),
    ],
)
def test_a_precision_really_runs_is_faster_and_still_right(precision, weights, output, most):
    plain, fast = faster(), faster(precision=precision, channels_last=True)
    assert (plain.effective["tf32_cudnn"], plain.effective["tf32_matmul"]) == (False, False)
    assert fast.effective["tf32_cudnn"] is (precision == "tf32")
    assert (fast.effective["dtype"], fast.effective["output_dtype"]) == (weights, output)
    assert 1e-6 < fast.figures["rel_error"] < most
    assert typical_ms(fast) < 0.9 * typical_ms(plain)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_network_is_not_compiled_again(mode):
    outcome = faster(compile=mode, precision="bf16")
    assert outcome.figures["compile_s"] > 1
    assert (outcome.effective["recompilations"], outcome.effective["graph_breaks"]) == (0, 0)
    assert outcome.figures["rel_error"] < 5e-2


def test_onnx_runtime_computes_on_the_gpu():
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA; onnxruntime-gpu has")
    outcome = faster("wall", "onnxruntime")
    assert outcome.effective["providers"][0] == "CUDAExecutionProvider"
    assert outcome.figures["rel_error"] < 1e-4
    assert typical_ms(outcome) < 10 * typical_ms(faster())
    for method in ("event", "queued"):  # on a stream of torch
        assert 0.5 < typical_ms(faster(method, "onnxruntime")) / typical_ms(outcome) < 1.05
