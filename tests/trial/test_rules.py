"""What a trial can't be: each with its key, what was found and the way out."""

from __future__ import annotations

import pytest
from fakes.trials import make_trial

from runner.contract import Problem, UsageError
from runner.trial.rules import problems, size_of


def test_a_size_is_a_side_or_height_and_width():
    assert size_of(640) == (640, 640)
    assert size_of([480, 640]) == (480, 640)


@pytest.mark.parametrize("value", [0, -1, 1.5, "640", True, None, [640], [1, 2, 3], [0, 640]])
def test_other_sizes_are_refused_with_what_is_expected(value):
    found = size_of(value)
    assert isinstance(found, Problem)
    assert found.key == "input.size"
    assert "expected a whole number of pixels of at least 1" in str(found)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"input": {"batch_size": 0}}, "input.batch_size is 0; expected a whole number of at lea"),
        ({"timing": {"warmup": -1}}, "timing.warmup is -1; expected a whole number of at least 0"),
        ({"timing": {"iterations": 0}}, "timing.iterations is 0; expected a whole number of at l"),
        ({"timing": {"max_seconds": float("nan")}}, "timing.max_seconds is nan; expected seconds"),
        (
            {"timing": {"method": "evnt"}},
            "timing.method is evnt; did you mean event? expected one",
        ),
        ({"timing": {"method": "event"}}, "timing.method=event needs one of the devices"),
        ({"model": {"min_size": 75}}, "input.size is 64; resnet18 takes at least 75 pixels"),
        ({"model": {"max_size": 32}}, "input.size is 64; resnet18 takes at most 32 pixels"),
        (
            {"model": {"size_multiple": 14}},
            "input.size is 64; resnet18 takes multiples of 14: use 56 or 70",
        ),
        (
            {"model": {"square": True}, "input": {"size": (64, 96)}},
            "input.size is [64, 96]; resnet18 takes square inputs only",
        ),
        ({"model": {"task": "quantized"}, "device": "cuda"}, "model=resnet18 is an int8 model"),
        ({"model": {"task": "simulated"}}, "model=resnet18 can't run on device=cpu"),
        ({"device": "simulated"}, "model=resnet18 can't run on device=simulated"),
        (
            {"timing": {"method": "queued"}},
            "timing.method=queued needs one of the devices",
        ),
        (
            {"timing": {"method": "graph"}, "device": "xpu"},
            "timing.method=graph needs one of",
        ),
        ({"timing": {"inner": 0}}, "timing.inner is 0; expected a whole number of at least 1"),
        ({"timing": {"target": 1.5}}, "timing.target is 1.5; expected a share between 0 and 1"),
        ({"timing": {"target": float("nan")}}, "timing.target is nan; expected a share between"),
        (
            {"timing": {"cache": "cold"}},
            "timing.cache is cold; expected one of warm, flush",
        ),
        ({"timing": {"cache": "flush", "inner": 2}}, "timing.cache=flush empties the cache once"),
        (
            {"timing": {"cache": "flush", "method": "naive"}},
            "timing.cache=flush would count the flushing itself with timing.method=naive",
        ),
        (
            {"timing": {"cache": "rotate", "method": "graph"}, "device": "cuda"},
            "timing.cache=rotate changes the inputs, but timing.method=graph replays one",
        ),
    ],
)
def test_what_can_not_work_is_said_with_the_way_out(change, sentence):
    (found,) = problems(make_trial(**change))
    assert str(found).startswith(sentence)
    assert found.remedy


def test_a_good_trial_has_no_problems():
    assert list(problems(make_trial())) == []


def test_a_refusal_tells_each_problem_once():
    problem = Problem("seed", "seed is -1", "expected a whole number of at least 0")
    refusal = UsageError(problem, problem, Problem("repeat", "repeat is -1"))
    assert [one.key for one in refusal.problems] == ["seed", "repeat"]
    assert str(refusal).splitlines()[1] == "repeat is -1"
