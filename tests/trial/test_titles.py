"""What tells the trials of a sweep apart."""

from __future__ import annotations

import pytest
from fakes.trials import make_trial

from runner.trial.titles import full_title, settings, short_titles, summary_of, varying


def test_what_a_sweep_varies_beyond_the_title_is_named():
    warm, flushed = (make_trial(timing={"cache": cache}) for cache in ("warm", "flush"))
    assert varying([warm, flushed]) == ("cache",)
    assert varying([warm]) == ()
    assert full_title(flushed, ("cache",)) == "resnet18 64px b1 w2 wall cache=flush"


@pytest.mark.parametrize("name", ["size", "batch_size", "warmup", "cache", "model", "precision"])
def test_an_argument_named_like_a_setting_is_told_from_it(name):
    trials = [make_trial(model={"kwargs": {name: value}}) for value in ("small", "large")]
    assert varying(trials) == (f"kwargs.{name}",)
    titles = [full_title(trial, varying(trials)) for trial in trials]
    assert titles == [f"resnet18 64px b1 w2 wall kwargs.{name}={v}" for v in ("small", "large")]
    assert short_titles(trials) == ["small", "large"]


def test_an_argument_that_a_model_does_not_have_is_a_dash():
    plain, wide = (make_trial(model={"kwargs": kwargs}) for kwargs in ({}, {"width": 7}))
    assert varying([plain, wide]) == ("width",)
    assert full_title(plain, ("width",)).endswith(" width=-")
    assert settings(wide)["width"] == "7"


def test_of_different_models_only_what_differs_between_trials_of_one_is_named():
    costs = {"kernel_ms": 46.0, "launches": 3, "cold_ms": 1500.0}
    simulated = [
        make_trial(
            model={"name": "simulated", "task": "simulated", "kwargs": costs | {"launches": n}},
            device="simulated",
        )
        for n in (3, 5)
    ]
    real = make_trial()
    assert varying([simulated[0], real]) == ()
    assert varying([*simulated, real]) == ("launches",)
    assert summary_of([simulated[0], real]) == "simulated, resnet18"
    assert summary_of([*simulated, real]) == "simulated, resnet18 x 2 values of launches"
    assert varying([real, make_trial(device="cuda")]) == ("device",)


def test_short_titles_hold_what_differs_only():
    small = make_trial(input={"size": (64, 64)})
    fast = make_trial(input={"size": (96, 96)}, runtime={"precision": "bf16"})
    last = make_trial(input={"size": (96, 96)}, runtime={"channels_last": True})
    assert short_titles([small, fast, last]) == [
        "64px fp32 channels_last=false",
        "96px bf16 channels_last=false",
        "96px fp32 channels_last=true",
    ]
    assert short_titles([small, fast], but=("input.size",)) == ["fp32", "bf16"]
    assert short_titles([small]) == ["resnet18"]


def test_a_sweep_is_named_by_what_it_varies():
    sizes = [
        make_trial(model={"name": name}, input={"size": (size, size)}, repeat=repeat)
        for name in ("resnet18", "vgg11")
        for size in (64, 96, 128)
        for repeat in (0, 1)
    ]
    assert summary_of(sizes) == "resnet18, vgg11 x 3 sizes x 2 processes"
    assert summary_of(sizes[:1]) == "resnet18"
    four = [make_trial(model={"name": f"vgg{n}"}, seed=n % 2) for n in range(4)]
    assert summary_of(four) == "4 models x 2 seeds"
