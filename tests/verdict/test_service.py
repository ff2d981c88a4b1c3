"""Flags of load and pipelines, on outcomes that were made up."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.trials import make_trial, record_of

from runner.records.record import Outcome, Record

SERVER = {"name": "server", "rate": 50.0}


def record(load=SERVER, latency_ms=None, late_ms=(), figures=None, threads=1, **series) -> Record:
    """Queries of 10 ms each that never wait, unless said otherwise."""
    latency_ms = [10.0 + 0.01 * (n % 7) for n in range(600)] if latency_ms is None else latency_ms
    count = len(latency_ms)
    usual = {"service_ms": latency_ms, "batch_queries": [1.0] * count, "late_ms": list(late_ms)}
    cpu = {"run_queue_wait_share": 0.0, "usable_cpus": 2}
    outcome = Outcome(
        "completed", warmup_ms=tuple(latency_ms[:20]), latency_ms=tuple(latency_ms),
        figures={"unanswered": 0.0, "waiting_end": 0.0} | (figures or {}),
        series=usual | series, effective={"threads": threads}, contention={"cpu": cpu},
    )  # fmt: skip
    return record_of(make_trial(load=load, timing={"warmup": 20}), outcome)


def levels(record: Record) -> dict[str, str]:
    return {one["code"]: str(one["level"]) for one in record.reasons}


def test_a_service_in_order_has_no_flags():
    assert levels(record()) == {}


@pytest.mark.parametrize(
    ("late", "level"), [(0.02, None), (0.2, "suspect"), (0.8, "invalid")], ids=str
)
def test_a_generator_that_lags_is_judged_in_proportion_to_the_latency(late, level):
    assert levels(record(late_ms=[late] * 600)).get("LATE_ARRIVALS") == level


def test_lateness_of_a_few_queries_does_not_count_for_all():
    assert levels(record(late_ms=[3.0] * 4)) == {}


def test_a_rate_above_what_full_batches_answer_is_overload_and_nothing_else():
    found = record(load={"name": "server", "rate": 120.0})
    assert levels(found) == {"OVERLOAD": "invalid"}
    assert "at most 99.7 are answered" in found.reasons[0]["found"]
    assert levels(record(load={"name": "server", "rate": 95.0})) == {}


def test_two_instances_answer_twice_as_much():
    load = {"name": "server", "rate": 120.0, "instances": 2}
    assert levels(record(load=load)) == {}


def test_batches_that_were_never_full_say_nothing_of_the_most():
    load = {"name": "server", "rate": 500.0, "max_batch": 8}
    few = record(load=load, latency_ms=[10.0] * 600, batch_queries=[2.0] * 600)
    assert "OVERLOAD" not in levels(few)
    full = record(load=load, latency_ms=[40.0] * 600, batch_queries=[8.0] * 600)
    assert "OVERLOAD" in levels(full)  # 8 in 40 ms are 200 a second


def test_queries_without_an_answer_are_overload():
    found = record(figures={"unanswered": 40.0, "waiting_end": 41.0})
    assert levels(found)["OVERLOAD"] == "invalid"
    assert "40 were never answered" in found.reasons[0]["found"]


def test_waits_that_come_in_clusters_need_more_queries():
    waits = np.zeros(600)
    waits[300:330] = 50.0
    found = record(latency_ms=list(10 + waits), service_ms=[10.0] * 600)
    (flag,) = [one for one in found.reasons if one["code"] == "FEW_QUERIES"]
    assert "come in clusters of" in flag["found"]
    assert flag["need"] > 1000


def test_the_threads_of_all_instances_count():
    load = SERVER | {"instances": 2}
    (flag,) = [r for r in record(load, threads=2).reasons if r["code"] == "OVERSUBSCRIBED"]
    assert "4 threads on 2 usable CPUs" in flag["found"]
    assert flag["remedy"] == "use runtime.threads=1"
    many = record(SERVER | {"instances": 8}, threads=1)
    (flag,) = [one for one in many.reasons if one["code"] == "OVERSUBSCRIBED"]
    assert flag["remedy"] == "use load.instances=2"


def phases(whole_ms: float = 10.2, **pipeline: object) -> Record:
    outcome = Outcome(
        "completed", warmup_ms=(10.0,) * 20, latency_ms=(10.0,) * 100,
        figures={"phases_sum_ms": 14.0, "whole_ms": whole_ms},
        contention={"cpu": {"run_queue_wait_share": 0.0, "usable_cpus": 2}},
    )  # fmt: skip
    return record_of(make_trial(pipeline={"name": "e2e"} | pipeline), outcome)


def test_a_sum_of_phases_beside_another_whole_is_a_note():
    found = phases()
    assert levels(found) == {"PHASES": "note"}
    assert "one by one take 14 ms, the whole request 10.2 ms" in found.reasons[0]["found"]


def test_phases_that_something_disturbed_are_suspect():
    found = phases(whole_ms=30.0)
    assert levels(found) == {"PHASES": "suspect"}
    assert "took 30 ms while the phases were timed, and 10 ms before" in found.reasons[0]["found"]


def test_overlapping_batches_are_no_latency_of_a_request():
    found = phases(workers=1, overlap=True)
    assert "a batch ends every 10 ms" in found.reasons[0]["found"]
    assert "a single request takes 14 ms" in found.reasons[0]["found"]
