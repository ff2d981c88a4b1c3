from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from conftest import make_trial

from runner.record import trial_values
from runner.trial import Runtime, problems, size_of, varied


def test_the_key_is_the_same_in_every_repeat_and_folder_is_not():
    first, second = make_trial(), make_trial(repeat=1)
    assert first.key == second.key
    assert (first.folder, second.folder) == (first.key, f"{first.key}-r1")


@pytest.mark.parametrize(
    "change",
    [
        {"input": {"size": (64, 96)}},
        {"input": {"batch_size": 2}},
        {"timing": {"warmup": 3}},
        {"timing": {"method": "naive"}},
        {"model": {"name": "resnet34"}},
        {"model": {"kwargs": {"num_classes": 10}}},
        {"device": "cuda"},
        {"seed": 1},
    ],
)
def test_the_key_changes_with_anything_that_is_measured(change):
    assert make_trial(**change).key != make_trial().key


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("f053f70e277c", {}),
        (
            "0b507a3c03bd",
            {
                "model": {
                    "name": "fasterrcnn_resnet50_fpn", "task": "detection", "weights": "DEFAULT"
                },
                "input": {"size": (480, 640), "batch_size": 8},
                "timing": {
                    "method": "event", "warmup": 20, "iterations": 100, "max_seconds": 5.0,
                    "target": 0.01, "cache": "flush",
                },
                "device": "cuda:1",
                "repeat": 3,
                "seed": 7,
            },
        ),
        (
            "8a822c0341d4",
            {
                "model": {
                    "name": "custom", "target": "a.b", "kwargs": {"width": 3, "deep": {"x": [1]}}
                },
                "runtime": {"threads": None, "cudnn_benchmark": True},
            },
        ),
    ],
)  # fmt: skip
def test_keys_are_for_years(key, changes):
    """Never to be changed: all history would lose its trials."""
    assert make_trial(**changes).key == key


def test_a_field_added_later_changes_a_key_only_where_it_differs_from_its_default():
    @dataclass(frozen=True)
    class Later(Runtime):
        compile: str = "off"
        options: dict[str, int] = field(default_factory=dict)

    trial = make_trial()
    same = replace(trial, runtime=Later(1, False))
    assert same.key == trial.key
    assert replace(trial, runtime=Later(1, False, "default")).key != trial.key
    assert replace(trial, runtime=Later(1, False, options={"a": 1})).key != trial.key


def test_devices_of_a_kind_share_a_key_and_no_folder():
    first, second = make_trial(device="cuda:0"), make_trial(device="cuda:1", repeat=2)
    assert first.key == second.key == make_trial(device="cuda").key
    assert (first.folder, second.folder) == (first.key, f"{first.key}-r2-cuda1")
    assert first.key != make_trial(device="cpu").key


def test_facts_about_a_model_are_no_part_of_the_key():
    trial = make_trial()
    assert replace(trial, model=replace(trial.model, min_size=32)).key == trial.key


def test_titles_read_well():
    assert make_trial().title == "resnet18 64px b1 w2 wall"
    assert make_trial(input={"size": (480, 640)}, repeat=2).title == (
        "resnet18 480x640px b1 w2 wall r2"
    )


def test_a_size_is_a_side_or_height_and_width():
    assert size_of(640) == (640, 640)
    assert size_of([480, 640]) == (480, 640)


@pytest.mark.parametrize("value", [0, -1, 1.5, "640", True, None, [640], [1, 2, 3], [0, 640]])
def test_other_sizes_are_refused_with_what_is_expected(value):
    with pytest.raises(ValueError, match=r"expected a whole number of pixels of at least 1"):
        size_of(value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"input": {"batch_size": 0}}, "input.batch_size is 0; expected a whole number of at lea"),
        ({"timing": {"warmup": -1}}, "timing.warmup is -1; expected a whole number of at least 0"),
        ({"timing": {"iterations": 0}}, "timing.iterations is 0; expected a whole number of at l"),
        ({"timing": {"max_seconds": float("nan")}}, "timing.max_seconds is nan; expected seconds"),
        ({"timing": {"method": "evnt"}}, "timing.method is evnt; expected one of naive, wall, ev"),
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
    assert found.startswith(sentence)


def test_a_good_trial_has_no_problems():
    assert list(problems(make_trial())) == []


def test_what_a_sweep_varies_beyond_the_title_is_named():
    trials = [make_trial(timing={"cache": cache}) for cache in ("warm", "flush")]
    values = [trial_values(trial) for trial in trials]
    assert varied(values) == [{"cache": "warm"}, {"cache": "flush"}]
    assert varied(values[:1]) == [{}]
    kwargs = [make_trial(model={"kwargs": kwargs}) for kwargs in ({}, {"width": 7})]
    assert varied([trial_values(trial) for trial in kwargs]) == [{"width": "-"}, {"width": "7"}]
