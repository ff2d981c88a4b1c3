from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from fakes.trials import make_trial

from runner.trial.description import Runtime


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


def test_trials_that_differ_in_one_key_share_the_identity_of_all_else():
    plain, fast = (make_trial(runtime={"precision": name}) for name in ("fp32", "bf16"))
    assert plain.key != fast.key
    assert plain.key_without("runtime.precision") == fast.key_without("runtime.precision")
    assert plain.key_without("timing") != fast.key_without("timing")
    assert plain.key_without() == plain.key
