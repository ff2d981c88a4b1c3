"""The timing methods and the loop, exact, on a simulated asynchronous device."""

from __future__ import annotations

import gc

import pytest
import torch

from runner.measure.device import TorchDevice
from runner.measure.loop import measure
from runner.measure.methods import METHODS
from runner.measure.simulated import SimulatedDevice
from runner.trial import METHODS as NAMES
from runner.trial import Timing


def timing(method: str, warmup: int = 0, iterations: int = 20, max_seconds=None) -> Timing:
    return Timing(method, warmup, iterations, max_seconds)


def test_every_method_a_user_can_ask_for_exists():
    assert tuple(METHODS) == NAMES


@pytest.mark.parametrize("method", ["wall", "event"])
def test_synchronized_methods_report_the_true_time(method):
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=7)
    measured = measure(device.forward, device, timing(method, warmup=3))
    # the event lies before the launch, so both hold the launch and the kernel
    assert measured.latency_ms == (8.0,) * 20
    assert measured.hidden_device_ms == 0


def test_naive_reports_the_launch_and_hides_the_work():
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=7)
    measured = measure(device.forward, device, timing("naive"))
    assert measured.latency_ms == (1.0,) * 20
    assert measured.hidden_device_ms == 20 * 7 - 19  # all the kernels, less the later launches


def test_naive_reports_throughput_once_the_launch_queue_is_full():
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=7, queue_length=4)
    measured = measure(device.forward, device, timing("naive"))
    assert measured.latency_ms[:4] == (1.0,) * 4
    assert measured.latency_ms[-1] == 7.0


def test_a_cold_start_is_in_the_first_sample_and_a_warm_up_keeps_it_apart():
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=7, cold_ms=100)
    assert measure(device.forward, device, timing("event")).latency_ms[:2] == (108.0, 8.0)
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=7, cold_ms=100)
    measured = measure(device.forward, device, timing("event", warmup=2))
    assert measured.warmup_ms == (108.0, 8.0)
    assert measured.latency_ms == (8.0,) * 20


def test_warm_up_work_never_runs_into_the_timed_part():
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=100)
    measured = measure(device.forward, device, timing("naive", warmup=5, iterations=1))
    assert measured.hidden_device_ms == 100


def test_a_budget_stops_early_but_never_below_ten_iterations():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=1000)
    assert len(measure(device.forward, device, timing("wall", 0, 50, 15.0)).latency_ms) == 15
    assert len(measure(device.forward, device, timing("wall", 0, 50, 0.5)).latency_ms) == 10
    assert len(measure(device.forward, device, timing("wall", 0, 5, 0.5)).latency_ms) == 5


def test_phases_are_announced_before_they_start_with_the_seconds_they_will_take():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=1000)
    heard: list[tuple[str, float | None, float]] = []
    measure(
        device.forward,
        device,
        timing("wall", warmup=3),
        lambda phase, seconds: heard.append((phase, seconds, device.host_ms)),
    )
    assert heard == [("warm-up", None, 0.0), ("timed", 20.0, 3000.0)]


def test_events_must_be_waited_for():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=5)
    start, end = device.event(), device.event()
    start.record()
    device.forward()
    end.record()
    with pytest.raises(RuntimeError, match="synchronize it first"):
        start.elapsed_time(end)


def test_the_garbage_collector_rests_while_timing_and_wakes_again():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=1)
    seen: list[bool] = []

    def forward() -> None:
        seen.append(gc.isenabled())
        device.forward()

    measure(forward, device, timing("wall"))
    assert not any(seen)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_cpu_is_timed_by_the_host_clock_and_has_no_events():
    device = TorchDevice(torch.device("cpu"))
    assert len(measure(lambda: None, device, timing("wall")).latency_ms) == 20
    with pytest.raises(TypeError, match=r"timing\.method=wall"):
        device.event()
