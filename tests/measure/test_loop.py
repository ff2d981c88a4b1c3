"""The timing methods and the loop, exact, on a simulated asynchronous device."""

from __future__ import annotations

import contextlib
import gc
import statistics

import pytest
import torch
from torch.utils.benchmark import Timer

from runner.contract import MeasureError
from runner.measure import launch, loop
from runner.measure.launch import launch_cost
from runner.measure.loop import BLOCKS, Around, measure
from runner.measure.simulated import SimulatedDevice
from runner.measure.torch_device import TorchDevice
from runner.trial.description import Timing
from runner.trial.methods import METHODS


def timing(method: str, warmup: int = 0, iterations: int = 20, max_seconds=None, **changes):
    values = {"inner": None, "target": None, "cache": "warm"} | changes
    return Timing(method, warmup, iterations, max_seconds, **values)


@pytest.fixture
def no_collection(monkeypatch):
    """Spare the garbage collection around each of many measurements."""
    for module in (loop, launch):
        monkeypatch.setattr(module, "no_garbage_collection", contextlib.nullcontext)


def test_all_methods_side_by_side_each_exact():
    """10 kernels, launched within 5 ms, that run for 40 ms."""
    expected = {
        "naive": 5.0,  # the launches only
        "wall": 40.5,  # the first launch, then the device is always behind
        "event": 40.5,
        "queued": 40.0,  # the kernels only
        "pipelined": 40.0,
        "graph": 40.0,
    }
    for method, latency_ms in expected.items():
        device = SimulatedDevice(enqueue_ms=5, kernel_ms=40, launches=10)
        measured = measure(device.forward, device, timing(method, warmup=2))
        assert measured.latency_ms[1:] == pytest.approx((latency_ms,) * 19), method
    assert device.latency_ms == 40.5


def test_a_device_that_waits_for_the_host_shows_in_event_and_not_in_queued():
    device = SimulatedDevice(enqueue_ms=40, kernel_ms=10, launches=10)
    for method, latency_ms in (("event", 41.0), ("queued", 10.0), ("graph", 10.0)):
        measured = measure(device.forward, device, timing(method, warmup=5))
        assert measured.latency_ms == pytest.approx((latency_ms,) * 20), method


@pytest.mark.parametrize(
    ("enqueue_ms", "kernel_ms", "bound"), [(40, 10, True), (5, 40, False), (38, 40, True)]
)
def test_the_launch_cost_tells_a_host_bound_network_from_a_device_bound_one(
    enqueue_ms, kernel_ms, bound
):
    device = SimulatedDevice(enqueue_ms=enqueue_ms, kernel_ms=kernel_ms, launches=10)
    cost = launch_cost(device.forward, device)
    assert cost.enqueue_ms == pytest.approx(enqueue_ms)
    assert cost.queued_ms == pytest.approx(kernel_ms)
    host_bound = cost.enqueue_ms / cost.queued_ms > 0.8 or cost.event_ms / cost.queued_ms > 1.05
    assert host_bound is bound


def test_a_drained_backlog_is_discarded_and_taken_again():
    device = SimulatedDevice(enqueue_ms=20, kernel_ms=30, launches=10, cold_ms=2000)
    measured = measure(device.forward, device, timing("queued", iterations=30))
    assert measured.latency_ms == pytest.approx((30.0,) * 30)
    assert measured.discarded > 0
    assert device.host_ms < 8000  # the cold launch did not set the spin for the rest


UNQUEUED = {
    "it synchronizes once, as after a reading of its result": {"sync_every": 300},
    "it synchronizes often, as a detector": {"sync_every": 7},
    "it launches more than the queue holds, as swin_v2_b": {"launches": 1128},
    "it launches far more": {"launches": 4000},
}


@pytest.mark.parametrize("changes", UNQUEUED.values(), ids=UNQUEUED)
@pytest.mark.parametrize("kernel_ms", [0.5, 30, 90])
@pytest.mark.parametrize("enqueue_ms", [2, 40])
def test_what_can_not_be_queued_is_said_so_within_two_seconds(
    changes, kernel_ms, enqueue_ms, no_collection
):
    costs = {"enqueue_ms": enqueue_ms, "kernel_ms": kernel_ms, "launches": 300} | changes
    device = SimulatedDevice(**costs)
    with pytest.raises(MeasureError, match=r"launch queue holds; use timing\.method=event"):
        measure(device.forward, device, timing("queued"))
    assert device.host_ms < 2000
    device = SimulatedDevice(**costs)
    cost = launch_cost(device.forward, device)
    assert device.host_ms < 2000
    assert cost.queued_ms is None
    assert "launch queue holds" in cost.why_not_queued
    assert cost.event_ms == pytest.approx(device.latency_ms)


@pytest.mark.parametrize("launches", [1, 1128, 2500])
@pytest.mark.parametrize("sync_every", [0, 7])
@pytest.mark.parametrize("kernel_ms", [0.01, 30, 3000])
def test_no_method_waits_spins_or_tries_again_without_a_bound(
    launches, sync_every, kernel_ms, no_collection
):
    """Whatever a network launches, and however often it waits for the device."""
    costs = {
        "enqueue_ms": 0.01 * launches,
        "kernel_ms": kernel_ms,
        "launches": launches,
        "sync_every": sync_every,
        "cold_ms": 1500,
    }
    for method in METHODS:
        device = SimulatedDevice(**costs)
        with contextlib.suppress(MeasureError):
            measure(device.forward, device, timing(method, warmup=2, iterations=10))
        longest_ms = device.latency_ms + 100  # behind the longest spin there is
        assert device.host_ms < 1500 + (2 + 10 + 8) * longest_ms * 7, method
    device = SimulatedDevice(**costs)
    device.forward()
    device.synchronize()
    before_ms = device.host_ms
    launch_cost(device.forward, device)
    assert device.host_ms - before_ms < 1000 + 2 * longest_ms


def test_a_cold_first_launch_does_not_decide_that_a_pass_can_not_be_queued():
    device = SimulatedDevice(enqueue_ms=20, kernel_ms=30, launches=10, cold_ms=2000)
    assert measure(device.forward, device, timing("queued")).latency_ms[0] == pytest.approx(30)
    device = SimulatedDevice(enqueue_ms=99, kernel_ms=30, launches=10)  # 100 ms of spin suffice
    assert measure(device.forward, device, timing("queued")).latency_ms[0] == pytest.approx(30)
    device = SimulatedDevice(enqueue_ms=40, kernel_ms=30, launches=10, sync_every=10)
    with pytest.raises(MeasureError, match=r"6 times in a row, the last time behind 100\.0 ms"):
        measure(device.forward, device, timing("queued"))


@pytest.mark.parametrize("share", [0.1, 0.2, 5.0])
def test_a_clock_that_moved_since_the_spin_was_calibrated_is_made_up_for(share):
    """A GPU at rest runs at a fifth of its clock: a spin calibrated there is five times short."""
    device = SimulatedDevice(enqueue_ms=10, kernel_ms=30, launches=10, spin_share=share)
    measured = measure(device.forward, device, timing("queued", warmup=2, iterations=50))
    assert measured.latency_ms == pytest.approx((30.0,) * 50)
    assert measured.discarded == 0
    assert device.host_ms / 54 < 60  # and not by far too long a spin


def test_a_slow_pass_does_not_hold_the_launch_probe_up():
    device = SimulatedDevice(enqueue_ms=5, kernel_ms=3000)
    cost = launch_cost(device.forward, device)
    assert (cost.enqueue_ms, cost.event_ms) == (5.0, 3005.0)
    assert (cost.queued_ms, cost.why_not_queued) == (
        None,
        "a single pass used up the launch probe's 1 s",
    )
    assert device.passes == 2  # the first, untimed, and one by events


def test_the_first_pass_of_the_probe_is_cold_and_counts_for_nothing():
    device = SimulatedDevice(enqueue_ms=5, kernel_ms=20, launches=10, cold_ms=500)
    cost = launch_cost(device.forward, device)
    assert max(cost.series["enqueue_ms"]) == pytest.approx(5)
    assert cost.queued_ms == pytest.approx(20)


def test_a_pass_that_waits_for_a_stream_of_its_own_is_not_believed_where_events_see_none_of_it():
    costs = {"enqueue_ms": 0.1, "kernel_ms": 0.02, "side_ms": 10, "side_wait": 1}
    device = SimulatedDevice(**costs)
    with pytest.raises(MeasureError, match="on a stream of its own"):
        measure(device.forward, device, timing("queued"))
    device = SimulatedDevice(**costs)
    cost = launch_cost(device.forward, device)
    assert cost.queued_ms is None  # so that right numbers by event and wall are not HOST_BOUND
    assert "stream of its own" in cost.why_not_queued
    assert measure(device.forward, device, timing("wall")).latency_ms[-1] == pytest.approx(10)


def test_a_pass_that_is_launched_for_much_longer_than_it_works_is_still_queued():
    device = SimulatedDevice(enqueue_ms=8, kernel_ms=0.5, launches=10)
    assert measure(device.forward, device, timing("queued")).latency_ms[-1] == pytest.approx(0.5)


def test_a_stream_that_the_events_do_not_see_is_told_as_hidden_work():
    for method in ("event", "queued", "graph"):
        device = SimulatedDevice(enqueue_ms=1, kernel_ms=10, side_ms=50)
        measured = measure(device.forward, device, timing(method, warmup=3))
        assert measured.hidden_device_ms > 30, method
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=10, side_ms=50)
    assert measure(device.forward, device, timing("wall")).latency_ms == pytest.approx((50,) * 20)


@pytest.mark.parametrize("method", METHODS)
def test_work_left_over_from_before_is_in_no_sample(method):
    alone = SimulatedDevice(enqueue_ms=5, kernel_ms=40, launches=10)
    after = SimulatedDevice(enqueue_ms=5, kernel_ms=40, launches=10, left_over_ms=500)
    expected = measure(alone.forward, alone, timing(method)).latency_ms
    assert measure(after.forward, after, timing(method)).latency_ms == pytest.approx(expected)


def test_a_graph_of_several_passes_is_warm_when_it_is_timed():
    device = SimulatedDevice(enqueue_ms=0.1, kernel_ms=0.02, graph_cold_ms=5)
    measured = measure(device.forward, device, timing("graph", warmup=5))
    assert measured.inner == 6
    assert measured.warmup_ms[0] > 5
    assert measured.latency_ms == pytest.approx((0.02,) * 20)


def test_a_pass_that_waits_for_the_device_is_no_graph():
    device = SimulatedDevice(enqueue_ms=5, kernel_ms=40, launches=10, sync_every=5)
    with pytest.raises(MeasureError, match=r"waits for the device.*use timing\.method=event"):
        measure(device.forward, device, timing("graph"))


def test_the_synced_clock_of_pipelined_holds_the_passes_alone():
    """Making events and reading them costs the host time, which is none of the network's."""
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=7)
    made = device.event

    def slow_event():
        device.host_ms += 100
        event = made()
        read = event.elapsed_time

        def slow_read(end):
            device.host_ms += 100
            return read(end)

        event.elapsed_time = slow_read
        return event

    device.event = slow_event
    measured = measure(device.forward, device, timing("pipelined", warmup=3, iterations=50))
    assert measured.synced_ms == pytest.approx((50 * 7 + 1) / 50)


def test_between_two_blocks_a_pass_that_is_not_timed_ends_the_idle_time_of_a_look():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=10, cold_ms=0)

    def look() -> None:
        device.idle_again = True

    def forward() -> None:
        device._missing_ms = 5.0 if getattr(device, "idle_again", False) else 0.0
        device.idle_again = False
        device.forward()

    measured = measure(forward, device, timing("event", 5, 50), Around(look=look, settle=True))
    assert measured.latency_ms == (10.0,) * 50
    assert device.passes == 5 + 50 + BLOCKS
    cold = measure(forward, device, timing("event", 0, 50), Around(look=look, settle=True))
    assert cold.latency_ms[0] == 15.0  # what the first call costs is never hidden


def test_waiting_for_a_turn_is_no_time_of_a_sample_nor_of_the_budget():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=1000)
    turns = []

    def turn() -> None:
        turns.append(device.passes)
        device.host_ms += 60_000.0  # the other side is timed for a minute

    measured = measure(device.forward, device, timing("wall", 1, 50, 15.0), Around(turn=turn))
    assert set(measured.latency_ms) == {1000.0}
    assert len(measured.latency_ms) >= 12  # passes that are not timed take of the 15 seconds, too
    assert turns[:3] == [1, 1 + 6, 1 + 12]  # blocks of five, and a pass that is not timed


def test_pipelined_and_naive_know_the_time_by_the_synced_clock():
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=7)
    measured = measure(device.forward, device, timing("pipelined", warmup=3, iterations=50))
    assert measured.synced_ms == pytest.approx((50 * 7 + 1) / 50)
    measured = measure(device.forward, device, timing("naive", iterations=50))
    assert measured.latency_ms == pytest.approx((1.0,) * 50)  # hides 6 of 7 ms
    assert measured.synced_ms == pytest.approx((50 * 7 + 1) / 50)
    assert measure(device.forward, device, timing("event")).synced_ms is None


def test_the_synced_clock_stands_still_between_the_blocks_of_an_adaptive_run():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=50)

    def look() -> None:
        device.host_ms += 1000

    timed = timing("pipelined", iterations=50, target=0.01)
    measured = measure(device.forward, device, timed, Around(look=look))
    assert measured.synced_ms == pytest.approx(50)


def test_short_passes_are_timed_several_at_a_time():
    device = SimulatedDevice(enqueue_ms=0.004, kernel_ms=0.016)
    measured = measure(device.forward, device, timing("event", warmup=10))
    assert measured.inner == 5
    assert measured.latency_ms == pytest.approx(((0.004 + 5 * 0.016) / 5,) * 20)
    assert device.passes == 10 + 20 * 5
    assert measure(device.forward, device, timing("event", inner=3)).inner == 3
    assert measure(device.forward, device, timing("event", warmup=0)).inner == 1  # none to tell


@pytest.mark.parametrize("method", ["wall", "event", "queued", "graph"])
def test_a_flushed_cache_is_flushed_before_every_sample_and_outside_it(method):
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=10, cache_miss_ms=3)
    measured = measure(device.forward, device, timing(method, warmup=2, cache="flush"))
    assert measured.latency_ms == pytest.approx((13.0,) * 20)


def test_drift_throttling_and_slow_first_passes_show():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=10, drift=0.01)
    assert measure(device.forward, device, timing("event")).latency_ms[-1] == pytest.approx(11.9)
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=10, throttle_after_ms=100, throttle_factor=1.5)
    measured = measure(device.forward, device, timing("event"))
    assert (measured.latency_ms[9], measured.latency_ms[10]) == pytest.approx((10, 15))
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=10, slow_passes=3, slow_factor=2)
    measured = measure(device.forward, device, timing("event", warmup=2))
    assert measured.warmup_ms == pytest.approx((20, 20))
    assert measured.latency_ms[:2] == pytest.approx((20, 10))


def test_the_machine_is_looked_at_between_blocks_and_never_inside_a_sample():
    device = SimulatedDevice(enqueue_ms=1, kernel_ms=9)
    seen: list[float] = []

    def look() -> None:
        seen.append(device.host_ms)
        device.host_ms += 1000  # as slow as can be

    measured = measure(device.forward, device, timing("event", 5, 50), Around(look=look))
    assert len(seen) == BLOCKS + 1
    assert measured.latency_ms == pytest.approx((10.0,) * 50)
    seen.clear()
    measure(device.forward, device, timing("pipelined", 5, 50), Around(look=look))
    assert len(seen) == 2


def test_an_adaptive_run_stops_at_its_target_and_looks_ever_more_seldom():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=50)
    looks: list[int] = []

    def enough(samples) -> bool:
        looks.append(len(samples))
        return len(samples) >= 60

    measured = measure(
        device.forward, device, timing("event", 0, 1000, target=0.01), Around(enough=enough)
    )
    assert looks == [30, 38, 48, 60]
    assert measured.converged is True
    assert len(measured.latency_ms) == 60


def test_an_adaptive_run_takes_a_second_at_least_and_ends_at_its_caps():
    device = SimulatedDevice(enqueue_ms=0, kernel_ms=2)
    measured = measure(
        device.forward,
        device,
        timing("event", 0, 10**6, target=0.01),
        Around(enough=lambda _: True),
    )
    assert 500 <= len(measured.latency_ms) <= 700
    capped = timing("event", 0, 40, target=0.01)
    measured = measure(device.forward, device, capped, Around(enough=lambda _: False))
    assert (measured.converged, len(measured.latency_ms)) == (False, 40)
    capped = timing("event", 0, 10**6, 3.0, target=0.01)
    measured = measure(device.forward, device, capped, Around(enough=lambda _: False))
    assert measured.converged is False
    assert len(measured.latency_ms) == 1500


def test_the_loop_allocates_nothing_that_grows_but_the_samples():
    import tracemalloc

    device = SimulatedDevice(enqueue_ms=0, kernel_ms=1)
    peaks = {}
    for iterations in (1000, 3000):
        tracemalloc.start()
        measured = measure(device.forward, device, timing("event", iterations=iterations))
        peaks[iterations] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        del measured
    # a float of 24 bytes in two lists and a tuple, and lists grow ahead of their need
    assert (peaks[3000] - peaks[1000]) / 2000 < 100


def test_graphs_and_busy_devices_are_refused_on_a_cpu():
    cpu = TorchDevice(torch.device("cpu"))
    with pytest.raises(MeasureError, match="no graph support"):
        cpu.capture(lambda: None)
    with pytest.raises(MeasureError, match="kept busy"):
        cpu.occupy(1.0)
    cpu.flush_cache()


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
        Around(lambda phase, seconds: heard.append((phase, seconds, device.host_ms))),
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


@pytest.mark.alone
def test_wall_agrees_with_the_timer_of_torch():
    """In turn, with the same threads; a median of ratios stands short disturbances."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    value = torch.randn(256, 256)
    cpu, calls = TorchDevice(torch.device("cpu")), 20

    def forward() -> None:
        for _ in range(4):
            value @ value

    timer = Timer("forward()", globals={"forward": forward}, num_threads=1)
    try:
        for _attempt in range(3):
            ratios = []
            for _ in range(25):
                measured = measure(forward, cpu, timing("wall", 1, calls)).latency_ms
                ratios.append(statistics.fmean(measured) / (timer.timeit(calls).mean * 1000))
            ratio = statistics.median(ratios)
            if abs(ratio - 1) <= 0.02:
                return
    finally:
        torch.set_num_threads(threads)
    pytest.fail(f"wall is {ratio:.3f} of what torch.utils.benchmark.Timer says")
