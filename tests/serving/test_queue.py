"""What an idle instance takes from the queue, and how long it waits."""

from __future__ import annotations

import numpy as np
import pytest

from runner.serving.arrivals import schedule_ns
from runner.serving.queue import Batch, Queue
from runner.trial.description import Load


def test_without_batching_the_first_query_goes_alone():
    queue = Queue([10, 20, 30])
    assert queue.next(0) == 10  # wait until then
    assert queue.next(25) == Batch(0, 1, due_ns=10)
    assert queue.next(25) == Batch(1, 1, due_ns=20)
    assert queue.next(25) == 30
    assert queue.next(30) == Batch(2, 1, due_ns=30)
    assert queue.next(99) is None


def test_without_a_wait_an_idle_instance_takes_what_has_arrived():
    queue = Queue([10, 20, 30, 40, 50], max_batch=3)
    assert queue.next(10) == Batch(0, 1, due_ns=10)
    assert queue.next(45) == Batch(1, 3, due_ns=20)
    assert queue.next(99) == Batch(4, 1, due_ns=50)


def test_a_batch_that_is_full_does_not_wait():
    queue = Queue([10, 20, 30], max_batch=2, max_wait_ns=100)
    assert queue.next(10) == 20  # when it is full
    assert queue.next(20) == Batch(0, 2, due_ns=20)
    assert queue.next(25) == 30  # the last one waits for nothing
    assert queue.next(30) == Batch(2, 1, due_ns=30)


def test_a_query_waits_for_others_only_so_long():
    queue = Queue([10, 90, 95], max_batch=2, max_wait_ns=50)
    assert queue.next(12) == 60
    assert queue.next(61) == Batch(0, 1, due_ns=60)


def test_constant_arrivals_are_equally_far_apart_and_poissons_are_not():
    load = Load("server", rate=1000.0, queries=2000, arrivals="constant")
    gaps_ns = np.diff(schedule_ns(load))
    assert set(gaps_ns) == {1_000_000}
    gaps_ns = np.diff(schedule_ns(Load("server", rate=1000.0, queries=2000)))
    assert gaps_ns.mean() == pytest.approx(1e6, rel=0.1)
    assert gaps_ns.std() == pytest.approx(1e6, rel=0.1)  # as of an exponential distribution


def test_arrivals_are_seeded_and_each_rate_and_process_has_its_own():
    load = Load("server", rate=10.0, queries=50)
    assert list(schedule_ns(load, (1, 0))) == list(schedule_ns(load, (1, 0)))
    assert list(schedule_ns(load, (1, 0))) != list(schedule_ns(load, (1, 1)))
    twice = schedule_ns(Load("server", rate=20.0, queries=50), (1, 0))
    assert list(2 * twice) != list(schedule_ns(load, (1, 0)))


def test_a_budget_cuts_the_schedule_but_leaves_a_query():
    load = Load("server", rate=10.0, queries=500, arrivals="constant")
    assert len(schedule_ns(load, budget_s=3)) == pytest.approx(30, abs=1)
    assert len(schedule_ns(load, budget_s=0.01)) == 1
