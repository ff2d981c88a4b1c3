"""A device of torch: what is in force, what it takes, what it can't do."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
import torch
from fakes.trials import make_trial

from runner.contract import MeasureError
from runner.measure.torch_device import TorchDevice
from runner.models.sources import build
from runner.worker.execution import OptionalReads

CUDA = torch.device("cuda", 0)


@pytest.fixture
def newer_switches():
    """What makes reading allow_tf32 raise."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    matmul.fp32_precision, conv.fp32_precision = "tf32", "ieee"
    yield
    matmul.fp32_precision, conv.fp32_precision = "ieee", "tf32"  # torch's defaults


def test_settings_are_read_after_a_network_has_used_the_newer_switches(newer_switches):
    findings = OptionalReads()
    settings = TorchDevice(CUDA).settings()
    found = {name: findings.get(name, read) for name, read in settings.items()}
    assert (found["tf32_matmul"], found["tf32_cudnn"]) == (True, False)
    if not torch.cuda.is_available():  # one reading that fails costs only itself
        assert found["device_name"] is None
        assert list(findings.why_null) == ["device_name"]


@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_the_peak_of_a_devices_own_memory_is_without_what_measuring_takes(monkeypatch, kind):
    module = SimpleNamespace(max_memory_allocated=lambda device: 300 * 2**20)
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    monkeypatch.setattr(TorchDevice, "own_bytes", 100 * 2**20)
    assert TorchDevice(torch.device(kind)).peak_mib() == 200


def test_where_torch_counts_no_peak_it_is_unknown(monkeypatch):
    monkeypatch.setattr(torch, "get_device_module", lambda device: None)
    with pytest.raises(MeasureError, match="not track peak memory on mps"):
        TorchDevice(torch.device("mps")).peak_mib()


def test_what_measuring_takes_is_known():
    clock = TorchDevice(torch.device("cpu"))
    assert clock.own_bytes == 0
    clock.flush_cache()
    assert clock.own_bytes > 2**10
    workload = build(make_trial(model={"name": "squeezenet1_1"}), torch.device("cpu"))
    image_bytes = 3 * 64 * 64 * 4
    assert workload.own_bytes == 0
    assert workload.rotated(10 * image_bytes).own_bytes == 11 * image_bytes  # besides the first


class FakeCapture:
    """torch.cuda's part in a capture; `ends` is raised when the capture ends."""

    def __init__(self, monkeypatch, ends: Exception | None = None) -> None:
        stream = SimpleNamespace(wait_stream=lambda other: None)
        self.streams = []

        @contextlib.contextmanager
        def graph(_graph):
            try:
                yield
            finally:
                if ends is not None:
                    raise ends

        for name, value in {
            "Stream": lambda: stream,
            "current_stream": lambda: stream,
            "stream": lambda stream: contextlib.nullcontext(),
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
            "graph": graph,
            "synchronize": lambda: None,
            "set_stream": self.streams.append,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)


def after(passes: int, error: Exception):
    """A forward pass that raises once so many have succeeded."""
    left = [None] * passes

    def forward() -> None:
        if not left:
            raise error
        left.pop()

    return forward


@pytest.mark.parametrize("ends", [None, RuntimeError("capture failed due to a previous error")])
def test_out_of_memory_in_a_capture_is_out_of_memory(monkeypatch, ends):
    FakeCapture(monkeypatch, ends)
    with pytest.raises(torch.OutOfMemoryError, match="99 GiB"):
        TorchDevice(CUDA).capture(after(3, torch.OutOfMemoryError("tried to allocate 99 GiB")))


@pytest.mark.parametrize("ends", [None, RuntimeError("capture failed due to a previous error")])
def test_a_network_that_can_not_be_captured_is_advised_to_use_events(monkeypatch, ends):
    FakeCapture(monkeypatch, ends)
    reason = r"\(operation not permitted\).*copy to the host.*use timing\.method=event"
    with pytest.raises(MeasureError, match=reason):
        TorchDevice(CUDA).capture(after(3, RuntimeError("operation not permitted\nwhen capturing")))


def test_a_failed_capture_leaves_the_stream_that_was_current(monkeypatch):
    capture = FakeCapture(monkeypatch)
    with pytest.raises(MeasureError):
        TorchDevice(CUDA).capture(after(3, RuntimeError("operation not permitted")))
    assert capture.streams == [torch.cuda.current_stream()]


@pytest.mark.parametrize(("code", "about_capturing"), [(900, True), (907, True), (214, False)])
def test_a_broken_gpu_is_not_taken_for_a_network_that_can_not_be_captured(
    monkeypatch, code, about_capturing
):
    FakeCapture(monkeypatch)
    error = torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered")
    error.error_code = code
    with pytest.raises(MeasureError if about_capturing else torch.AcceleratorError):
        TorchDevice(CUDA).capture(after(3, error))


def test_a_gpu_that_is_broken_before_the_capture_says_so_itself(monkeypatch):
    FakeCapture(monkeypatch)
    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    monkeypatch.setattr(torch.cuda, "synchronize", after(0, broken))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        TorchDevice(CUDA).capture(lambda: None)


def test_a_spin_needs_no_device_of_another_kind():
    with pytest.raises(MeasureError, match="kept busy"):
        TorchDevice(torch.device("mps")).occupy(1.0)
