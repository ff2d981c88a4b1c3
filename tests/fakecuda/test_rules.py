"""What the program takes for granted of CUDA: true of a real GPU, so a fake one has to do the same.

`pytest -m gpu` runs it on a real one; test_whole.py runs it on a fake one.
"""

from __future__ import annotations

import time

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no visible NVIDIA GPU"),
]
LONG = 400_000_000  # cycles: about 200 ms, far more than the host needs for what follows it


@pytest.fixture
def x():
    """A tensor, on a device that has nothing left to do."""
    x = torch.ones(8, device="cuda")
    x + 1
    torch.cuda.synchronize()
    yield x
    torch.cuda.synchronize()


def test_the_host_is_back_before_the_device_is_done(x):
    end = torch.cuda.Event()
    torch.cuda._sleep(LONG)
    end.record()
    assert not end.query()
    assert not torch.cuda.current_stream().query()
    end.synchronize()
    assert end.query()


def test_events_tell_what_lies_between_them_on_their_stream(x):
    start, middle, end = (torch.cuda.Event(enable_timing=True) for _ in range(3))
    start.record()
    torch.cuda._sleep(LONG)
    middle.record()
    torch.cuda._sleep(2 * LONG)
    end.record()
    end.synchronize()
    assert middle.elapsed_time(end) == pytest.approx(2 * start.elapsed_time(middle), rel=0.01)


def test_an_event_that_was_not_recorded_has_no_time(x):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    end.record()
    with pytest.raises((ValueError, RuntimeError)):
        start.elapsed_time(end)
    assert start.query()


def test_another_stream_of_torch_waits_for_nobody(x):
    side = torch.cuda.Stream()
    done = torch.cuda.Event()
    torch.cuda._sleep(LONG)
    with torch.cuda.stream(side):
        x + 1
        done.record()
    done.synchronize()
    assert not torch.cuda.default_stream().query()  # that one still sleeps


def test_a_stream_waits_for_an_event(x):
    side = torch.cuda.Stream()
    first, second = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(LONG)
    first.record()
    side.wait_event(first)
    with torch.cuda.stream(side):
        second.record()
    second.synchronize()
    assert 0 <= first.elapsed_time(second) < 1


def test_a_full_launch_queue_holds_the_host(x):
    began = time.perf_counter()
    torch.cuda._sleep(LONG)
    for _ in range(900):
        x.add_(1)
    early = time.perf_counter() - began
    for _ in range(600):
        x.add_(1)
    late = time.perf_counter() - began
    torch.cuda.synchronize()
    assert early < 0.1 < late


def test_a_copy_to_pageable_memory_waits_and_one_to_pinned_memory_does_not(x):
    pinned = torch.empty(8, pin_memory=True)
    torch.cuda._sleep(LONG)
    pinned.copy_(x, non_blocking=True)
    assert not torch.cuda.current_stream().query()
    assert x.cpu().tolist() == [1.0] * 8
    assert torch.cuda.current_stream().query()


def test_memory_is_counted_and_runs_out_as_an_error_of_its_own(x):
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    large = torch.empty(2**26, dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_allocated() - before == 2**26
    del large
    assert torch.cuda.memory_allocated() == before
    assert torch.cuda.max_memory_allocated() - before == 2**26
    with pytest.raises(torch.OutOfMemoryError, match=r"CUDA out of memory. Tried to allocate"):
        torch.empty(2**45, dtype=torch.uint8, device="cuda")


def captured(work):
    """The error code that capturing `work` ends with, and the one of the end; None for success."""
    codes = []
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            work()
    except RuntimeError as error:
        codes = [getattr(cause, "error_code", None) for cause in (error.__context__, error)]
    finally:
        torch.cuda.set_stream(torch.cuda.default_stream())
    torch.cuda.synchronize()  # the device itself is well
    return codes


def test_a_graph_runs_what_it_has_captured_and_nothing_before(x):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        torch.cuda._sleep(LONG)
    assert torch.cuda.current_stream().query()
    graph.replay()
    assert not torch.cuda.current_stream().query()


def test_branches_of_a_graph_that_are_joined(x):
    """Through a third stream as well."""
    side, third = torch.cuda.Stream(), torch.cuda.Stream()

    def work():
        current = torch.cuda.current_stream()
        side.wait_stream(current)
        third.wait_stream(side)
        for stream in (side, third):
            with torch.cuda.stream(stream):
                x + 1
        side.wait_stream(third)
        current.wait_stream(side)

    assert captured(work) == []


def test_what_no_graph_can_hold(x):
    side = torch.cuda.Stream()

    def unjoined():
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            x + 1

    def in_the_default_stream():
        with torch.cuda.stream(torch.cuda.default_stream()):
            x + 1

    broken = 901  # cudaErrorStreamCaptureInvalidated
    assert captured(lambda: x + 1) == []
    assert captured(torch.cuda.synchronize) == [900, broken]
    assert captured(lambda: torch.cuda.current_stream().synchronize()) == [900, broken]
    assert captured(lambda: torch.cuda.current_stream().query()) == [900, broken]
    assert captured(lambda: x.sum().item()) == [900, broken]
    assert captured(in_the_default_stream) == [906, broken]
    assert captured(unjoined)[-1] == 904
    assert captured(lambda: [unjoined(), *(x + 1 for _ in range(5))])[-1] == 904
    assert captured(lambda: x + 1) == []
