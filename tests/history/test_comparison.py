"""Records matched trial by trial, judged by their processes, and what else differs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.trials import make_trial, record_of, timed

from runner.contract import Unmatched
from runner.history.comparison import Side, compare, compare_by
from runner.history.environment_diff import machines
from runner.records.record import Outcome

SMALL, LARGE = (make_trial(input={"size": (size, size)}) for size in (64, 128))
FP32 = make_trial(timing={"warmup": 3})
BF16 = replace(FP32, runtime=replace(FP32.runtime, precision="bf16"))


def side(name, *medians_ms, trial=SMALL, **changes):
    """A side with one process for each median, each of which differs a little."""
    return Side(
        name,
        tuple(
            timed(replace(trial, repeat=repeat), ms, noise=0.002, **changes)
            for repeat, ms in enumerate(medians_ms)
        ),
    )


def joined(*sides):
    return Side(sides[0].name, tuple(record for one in sides for record in one.records))


def test_trials_are_matched_by_their_key_and_what_changed_most_is_on_top():
    before = joined(side("a", 10.0, 10.02, 9.98), side("a", 20.0, 20.2, 19.8, trial=LARGE))
    after = joined(side("b", 10.0, 10.02, 9.98), side("b", 24.0, 24.2, 23.8, trial=LARGE))
    found = compare(before, after, 0.02)
    assert [pair.record.trial.input.size[0] for pair in found.pairs] == [128, 64]
    assert [pair.difference.verdict for pair in found.pairs] == ["slower", "same"]
    assert found.pairs[0].difference.ratio == pytest.approx(1.2, rel=0.005)
    assert (found.only_before, found.only_after, found.unusable) == ((), (), ())


def test_trials_of_one_side_only_are_listed_and_missing_ones_counted():
    before = joined(side("a", 10.0), side("a", 20.0, trial=LARGE))
    after = joined(side("b", 10.0), side("b", 30.0, trial=FP32))
    found = compare(before, after, 0.02)
    assert [record.trial.input.size[0] for record in found.only_before] == [128]
    assert [record.trial for record in found.only_after] == [FP32]
    assert (len(found.pairs), found.missing, found.fewest) == (1, 1, 1)


def test_what_is_invalid_or_did_not_complete_is_apart_with_its_reason():
    cold = record_of(
        make_trial(timing={"warmup": 0}), Outcome("completed", (), (50.0, *[1.0] * 60))
    )
    assert cold.verdict == "invalid"
    found = compare(Side("a", (cold,)), Side("b", (cold,)), 0.02)
    assert found.pairs == ()
    assert found.unusable[0][1].startswith("a: invalid: ")
    failed = record_of(SMALL, Outcome("failed", error={"type": "ValueError", "message": "no"}))
    found = compare(side("a", 10.0), Side("b", (failed,)), 0.02)
    assert found.unusable[0][1] == "b: failed: ValueError: no"
    assert found.missing == 1


def test_an_invalid_process_among_good_ones_costs_itself_only():
    before, after = side("a", 10.0, 10.1, 9.9), side("b", 10.0, 10.1, 9.9)
    spoilt = replace(after.records[2], verdict="invalid")
    found = compare(before, Side("b", (*after.records[:2], spoilt)), 0.02)
    assert len(found.pairs[0].after) == 2


def test_trials_that_differ_in_one_key_are_compared_by_it():
    records = joined(
        side("x", 10.0, 10.1, 9.9, trial=FP32), side("x", 5.0, 5.1, 4.9, trial=BF16)
    ).records
    (found,) = compare_by(records, "runtime.precision", 0.02)
    assert (found.before.name, found.after.name) == (
        "runtime.precision=fp32",
        "runtime.precision=bf16",
    )
    assert found.pairs[0].difference.verdict == "faster"


@pytest.mark.parametrize(
    ("by", "values"),
    [("torch", ["2.14.1", "2.15.0"]), ("model", ["resnet18", "vgg11"]), ("timing", None)],
)
def test_the_environment_the_model_and_whole_groups_can_be_compared_by(by, values):
    first = side("x", 10.0, 10.1)
    other = {
        "torch": side("x", 11.0, 11.1, host={"torch": "2.15.0"}),
        "model": side("x", 11.0, 11.1, trial=make_trial(model={"name": "vgg11"})),
        "timing": side("x", 11.0, 11.1, trial=FP32),
    }[by]
    (found,) = compare_by([*first.records, *other.records], by, 0.02)
    assert len(found.pairs) == 1
    if values:
        assert [found.before.name, found.after.name] == [f"{by}={value}" for value in values]


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("torch", "torch is 2.14.1 in all 2 records"),
        ("colour", r"no colour to compare by; expected one of those that differ: .*timing"),
    ],
)
def test_what_can_not_be_compared_by_is_told(by, told):
    with pytest.raises(Unmatched, match=told):
        compare_by(side("x", 10.0, 10.1).records, by, 0.02)


def test_what_differs_between_the_environments_and_the_settings_in_force_is_named():
    before = side("a", 10.0, effective={"threads": 2}, host={"torch": "2.14.1"})
    after = side("b", 10.0, effective={"threads": 1}, host={"torch": "2.15.0", "cuda": "13.0"})
    assert sorted(map(str, compare(before, after, 0.02).changed)) == [
        "cuda: not set -> 13.0",
        "threads: 2 -> 1",
        "torch: 2.14.1 -> 2.15.0",
    ]
    assert machines((*before.records, *side("c", 1.0, host={"host": "there"}).records)) == [
        "here (a CPU)",
        "there (a CPU)",
    ]
