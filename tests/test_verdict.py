from __future__ import annotations

from conftest import make_trial

from runner.record import Outcome
from runner.statistics import summarize
from runner.verdict import flags, verdict_of


def judged(trial, latency_ms=(10.0, 2.0, 2.0), **series):
    outcome = Outcome("completed", latency_ms=latency_ms, series=series)
    return list(flags(trial, outcome, summarize(latency_ms, 1)))


def test_naive_is_invalid_on_an_asynchronous_device_and_the_hidden_work_is_named():
    found = judged(make_trial(timing={"method": "naive"}, device="cuda"), hidden_device_ms=140.0)
    assert [(flag.code, flag.figure) for flag in found] == [("NO_SYNC", 140.0)]
    assert "140.00 ms of device work still ran" in found[0].advice
    assert verdict_of(found) == "invalid"


def test_naive_is_not_flagged_on_a_cpu_where_calls_are_synchronous():
    assert judged(make_trial(timing={"method": "naive"})) == []


def test_no_warm_up_is_suspect_and_says_by_how_much():
    found = judged(make_trial(timing={"warmup": 0}))
    assert [flag.code for flag in found] == ["NO_WARMUP"]
    assert "the first iteration took 10.00 ms against a median of 2.00" in found[0].advice
    assert verdict_of(found) == "suspect"


def test_an_output_that_is_not_finite_is_suspect():
    outcome = Outcome("completed", latency_ms=(1.0,), effective={"finite": False})
    found = list(flags(make_trial(), outcome, summarize((1.0,), 1)))
    assert [flag.code for flag in found] == ["NOT_FINITE"]


def test_without_a_flag_a_trial_is_not_judged_rather_than_valid():
    assert verdict_of([]) is None
