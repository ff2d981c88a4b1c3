"""Instances that answer a schedule: nothing is lost, and nothing hides a wait."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest

from runner.serving.clock import HostClock
from runner.serving.play import Rules, Served, from_queue, play, simulate, single_stream
from runner.serving.queue import Batch, Queue
from runner.serving.result import answered, figures_of

MS = 1_000_000


@dataclass
class Scripted:
    """An instance with a clock of its own; its answers take the given milliseconds, in turn."""

    takes_ms: list[float]
    now: int = 0
    sizes: list[int] = field(default_factory=list)

    def working(self):
        return nullcontext()

    def warm_up(self) -> None:
        pass

    def start(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        return self.now

    def wait_until(self, at_ns: int) -> None:
        self.now = max(self.now, at_ns)

    def answer(self, queries: int) -> None:
        self.now += round(MS * self.takes_ms[len(self.sizes) % len(self.takes_ms)])
        self.sizes.append(queries)


class Hosted(HostClock):
    """An instance in a thread; it fails at the query `fails`."""

    answered: list[int]

    def __init__(self, fails: int | None = None) -> None:
        super().__init__(shared=True)
        self.answered, self.fails = [], fails

    def working(self):
        return nullcontext()

    def warm_up(self) -> None:
        pass

    def answer(self, queries: int) -> None:
        if self.fails == len(self.answered):
            raise ValueError("out of luck")
        time.sleep(0.001)
        self.answered.append(threading.get_ident())


def test_a_stall_counts_for_every_query_that_came_meanwhile():
    arrivals_ns = [10 * MS * number for number in range(100)]
    stalls = Scripted([1.0] * 20 + [500.0] + [1.0] * 79)
    served = simulate(from_queue(Queue(arrivals_ns), None), [stalls], Rules())
    found = answered(served, arrivals_ns)
    assert found.latency_ms[:20] == pytest.approx(1.0)
    # the query that stalls takes 500 ms, the one 10 ms after it 491, and so on
    assert found.latency_ms[20:24] == pytest.approx([500, 491, 482, 473])
    assert sum(found.latency_ms > 100) == 45
    assert found.wait_ms[21] == pytest.approx(490)


def test_a_generator_that_waits_for_answers_sees_one_slow_query_only():
    stalls = Scripted([1.0] * 20 + [500.0] + [1.0] * 79)
    found = answered(simulate(single_stream(100, None), [stalls], Rules()), [])
    assert sum(found.latency_ms > 100) == 1


def test_a_single_stream_begins_at_the_start_and_loses_no_query():
    class Leads(Scripted):
        def start(self) -> None:
            self.now = -20 * MS  # as a clock does that starts a moment later

    found = answered(simulate(single_stream(5, None), [Leads([2.0])], Rules()), [])
    assert found.latency_ms == pytest.approx([2.0] * 5)
    assert found.arrival_ms[0] == 0.0
    figures = figures_of(found, instances=1, unanswered=0, q=0.5)
    assert figures["answered_qps"] == pytest.approx(500)
    assert figures["busy"] == pytest.approx(1)
    assert figures["tail_ms"] == pytest.approx(2.0)


def test_what_is_kept_before_the_end_has_no_gap():
    served = Served()
    for number, done_ns in enumerate((MS, -1, 3 * MS)):
        served.begin(Batch(number, 1, 0), waited=False, began_ns=0)
        served.done_ns[number] = done_ns
    assert answered(served.until_open(), []).latency_ms == pytest.approx([1.0])


def test_queries_are_in_order_of_arrival_whoever_answered_them_when():
    arrivals_ns = [0, MS, 2 * MS]
    slow, fast = Scripted([10.0]), Scripted([1.0])
    served = simulate(from_queue(Queue(arrivals_ns), None), [slow, fast], Rules())
    assert answered(served, arrivals_ns).latency_ms == pytest.approx([10, 1, 1])
    assert (len(slow.sizes), len(fast.sizes)) == (1, 2)


def test_nothing_is_taken_after_the_end_and_the_rest_is_unanswered():
    arrivals_ns = [MS * number for number in range(100)]
    served = simulate(from_queue(Queue(arrivals_ns), 50 * MS), [Scripted([10.0])], Rules())
    found = answered(served, arrivals_ns)
    assert len(found.latency_ms) == 6  # at 0, 10, ... 50 ms
    figures = figures_of(found, instances=1, unanswered=94, q=0.99)
    assert figures["offered_qps"] == pytest.approx(1000 * 100 / 5)
    assert figures["answered_qps"] == pytest.approx(100)
    assert figures["busy"] == pytest.approx(1)


def test_a_run_ends_once_it_is_enough():
    rules = Rules(enough=lambda served: len(served.batches) == 3)
    served = simulate(from_queue(Queue([0] * 10), None), [Scripted([1.0])], rules)
    assert len(served.batches) == 3


def test_threads_answer_every_query_once():
    arrivals_ns = [MS // 2 * number for number in range(200)]
    instances = [Hosted() for _ in range(3)]
    clock = instances[0]
    for one in instances[1:]:
        one.now_ns, one.wait_until = clock.now_ns, clock.wait_until
    served = play(from_queue(Queue(arrivals_ns, max_batch=2), None), instances, Rules())
    numbers = [one.first + place for one in served.batches for place in range(one.size)]
    assert numbers == list(range(200))
    assert min(len(set(one.answered)) for one in instances) == 1  # a thread each
    assert all(at >= 0 for at in served.done_ns)
    assert len(answered(served, arrivals_ns).latency_ms) == 200


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_of_an_instance_ends_the_run(count):
    instances = [Hosted(fails=2), *(Hosted() for _ in range(count - 1))]
    with pytest.raises(ValueError, match="out of luck"):
        play(from_queue(Queue([0] * 50), None), instances, Rules())


def test_an_error_in_the_warm_up_of_one_does_not_leave_the_others_waiting():
    broken, other = Hosted(), Hosted()

    def fails() -> None:
        raise MemoryError("no room")

    broken.warm_up = fails  # type: ignore[method-assign]
    with pytest.raises(MemoryError, match="no room"):
        play(from_queue(Queue([0] * 5), None), [broken, other], Rules())


def test_a_pause_of_the_clock_does_not_count():
    clock = HostClock(shared=False)
    since_ns = clock.now_ns()
    time.sleep(0.05)
    clock.skip(since_ns)
    assert clock.now_ns() - since_ns < 40 * MS


def test_the_host_clock_waits_until_the_moment_and_not_less():
    clock = HostClock(shared=False)
    for later_ns in (0, 50_000, 3 * MS):
        at_ns = clock.now_ns() + later_ns
        clock.wait_until(at_ns)
        assert clock.now_ns() >= at_ns
