"""What a worker warms up, and what it keeps of a load."""

from __future__ import annotations

import pytest
import torch
from fakes.trials import make_trial, record_of

from runner.contract import ModelError
from runner.models.workload import Workload
from runner.records.results import Result
from runner.worker import execution
from runner.worker.execution import PhaseCallbacks
from runner.worker.service import sizes_up_to

COSTS = {"enqueue_ms": 0.0, "kernel_ms": 10.0}


def served(repeat: int = 0, **load: object):
    trial = make_trial(
        model={"name": "simulated", "task": "simulated", "kwargs": COSTS}, device="simulated",
        load={"name": "server", "rate": 60.0, "queries": 500, "target_ms": 60.0} | load,
        repeat=repeat,
    )  # fmt: skip
    return record_of(trial, execution.run_trial(trial, PhaseCallbacks()))


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(1, []), (2, [2]), (4, [2, 3, 4]), (16, [*range(2, 17)]), (17, [*range(2, 17), 17])],
)
def test_every_small_size_is_warmed_up(most, sizes):
    assert sizes_up_to(most) == sizes


def test_of_large_sizes_only_some_are_warmed_up():
    assert sizes_up_to(100)[15:] == [32, 64, 100]
    assert len(sizes_up_to(4096)) == 23


def test_processes_of_a_service_have_arrivals_of_their_own_and_one_result():
    records = tuple(served(repeat) for repeat in range(4))
    assert len({record.figures["answered_qps"] for record in records}) == 4
    result = Result(records)
    assert result.figure("answered_qps") == pytest.approx(
        sum(record.figures["answered_qps"] for record in records) / 4
    )
    verdicts = [record.effective["target"] for record in records]
    worst = next(word for word in ("missed", "undecided", "met") if word in verdicts)
    assert result.target.startswith(worst)


def test_a_result_without_a_target_has_none():
    assert Result((served(target_ms=None),)).target is None


def test_a_percentile_that_is_no_figure_is_judged_too():
    record = served(percentile=99.99, queries=2000)
    (flag,) = [one for one in record.reasons if one["code"] == "FEW_QUERIES"]
    assert "p99.99" in flag["found"]


def test_a_run_that_was_cut_short_is_told_so():
    record = served(name="single_stream", rate=None, target_ms=None)
    assert len(record.latency_ms) == 500
    trial = make_trial(
        model={"name": "simulated", "task": "simulated", "kwargs": COSTS}, device="simulated",
        load={"name": "single_stream", "queries": 1000}, timing={"max_seconds": 0.5},
    )  # fmt: skip
    cut = record_of(trial, execution.run_trial(trial, PhaseCallbacks()))
    (flag,) = [one for one in cut.reasons if one["code"] == "FEW_QUERIES"]
    assert flag["remedy"] == "raise timing.max_seconds=0.5, which cut the run short"


def test_batches_of_queries_are_views_of_the_largest():
    inputs = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    found = Workload(torch.nn.Identity(), (inputs,), {}).batched(64, 2)
    assert [len(one[0]) for one in found] == [2 * number for number in range(1, 65)]
    assert len({one[0].untyped_storage().data_ptr() for one in found}) == 1
    assert torch.equal(found[2][0][4:], inputs)
    assert found[2][0].is_contiguous(memory_format=torch.channels_last)


def test_a_detectors_batch_is_a_list_of_images_and_other_inputs_are_refused():
    images = [torch.zeros(3, 8, 8)] * 2
    found = Workload(torch.nn.Identity(), (images,), {}).batched(3, 2)
    assert [len(one[0]) for one in found] == [2, 4, 6]
    with pytest.raises(ModelError, match="needs inputs that begin with the batch of 2"):
        Workload(torch.nn.Identity(), (torch.zeros(5, 2),), {}).batched(3, 2)
