"""What a search does next, from records that were made up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.trials import make_trial, record_of

from runner.contract import Verdict
from runner.pages.answers import answers
from runner.records.capacities import point_of
from runner.sweep.search import Search
from runner.worker import execution
from runner.worker.execution import PhaseCallbacks

TEMPLATE = make_trial(
    model={"name": "simulated", "task": "simulated", "kwargs": {"enqueue_ms": 0, "kernel_ms": 10}},
    device="simulated",
    load={"name": "server", "rate": 1.0, "queries": 600, "target_ms": 60.0},
)


def run(trial):
    return record_of(trial, execution.run_trial(trial, PhaseCallbacks()))


@pytest.fixture(scope="module")
def first():
    """The records without a queue."""
    return [run(trial) for trial in Search("capacity", (TEMPLATE,), 1).following([])]


def test_a_search_begins_without_a_queue_and_goes_on_with_a_scan(first):
    assert [record.trial.load.name for record in first] == ["single_stream", "offline"]
    search = Search("capacity", (TEMPLATE,), 1)
    scan = search.following(first)
    assert [trial.load.rate for trial in scan] == [20.0, 40.0, 60.0, 75.0, 90.0]
    assert search.following([*first, run(scan[0])]) == scan[1:]  # the rest of the round


def test_a_search_does_not_build_on_an_invalid_throughput(first):
    search = Search("capacity", (TEMPLATE,), 1)
    single, offline = first
    assert search.following([single, replace(offline, verdict=Verdict.INVALID)]) == []
    assert "is invalid" in search.ended[TEMPLATE.key]


def test_a_disturbed_single_stream_does_not_end_a_search(first):
    search = Search("capacity", (TEMPLATE,), 1)
    single, offline = first
    missed = replace(single, effective=single.effective | {"target": "missed"})
    assert search.following([missed, offline]) == []
    disturbed = replace(missed, verdict=Verdict.INVALID)
    assert len(search.following([disturbed, offline])) == 5
    said = [" ".join(answers(records)) for records in ([missed, offline], [disturbed, offline])]
    assert ["at no rate" in one for one in said] == [True, False]


def test_a_rate_that_was_disturbed_hardly_counts(first):
    (trial, *_) = Search("capacity", (TEMPLATE,), 1).following(first)
    record = run(trial)
    assert point_of(record).spread < 1.0
    disturbed = point_of(replace(record, verdict=Verdict.INVALID))
    assert (disturbed.side, disturbed.spread) == (0, 1.0)


def test_a_search_ends_whatever_is_invalid(first):
    search, records = Search("capacity", (TEMPLATE,), 1), list(first)
    for _ in range(20):
        if not (following := search.following(records)):
            break
        records += [replace(run(trial), verdict=Verdict.INVALID) for trial in following]
    assert not following
    assert len(records) <= 18


@pytest.mark.parametrize(
    ("at_90", "answer"),
    [
        (150.0, "answers up to "),
        (40.0, "keeps p99 below 60 ms at higher rates, up to 90 queries/s; at 10/s or"),
    ],
)
def test_a_service_that_is_slower_after_a_pause_is_answered_as_such(first, at_90, answer):
    record = run(Search("capacity", (TEMPLATE,), 1).following(first)[0])
    tails_ms = {5.0: 90.0, 10.0: 80.0, 40.0: 20.0, 60.0: 30.0, 90.0: at_90}
    records = [
        replace(
            record,
            trial=replace(record.trial, load=replace(record.trial.load, rate=rate)),
            latency_ms=(tail_ms,) * 600,
            effective=record.effective | {"target": "missed" if tail_ms > 60 else "met"},
        )
        for rate, tail_ms in tails_ms.items()
    ]
    (said,) = [one for one in answers(records) if answer in one]
    assert said.endswith("; at 10/s or less it misses that, maybe slower after a pause")
