"""A trial as words: they make the same trial again, whatever is in it."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from runner.config.parse import trial_of
from runner.config.schema import register_schema
from runner.config.values import values_of
from runner.config.words import spelled, words_of
from runner.contract import CONF
from runner.host.devices import Devices


@pytest.fixture
def made():
    register_schema()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base=None):
        yield lambda words, folder: trial_of(
            values_of(compose("config", list(words))), Devices(cuda=2), folder
        )


@pytest.mark.parametrize(
    "words",
    [
        ["model=resnet18", "input.size=[48,64]", "timing.max_seconds=1.5"],
        ["model=vit_b_16", "input.size=224", "device=cuda:1", "seed=3"],
        ["model=simulated", "model.kwargs.kernel_ms=7", "timing=naive"],
        ["model=custom", "model.target=nets.Net", "model.kwargs={width: 7, name: 'a \\'b, c'}",
         "input.size=64", "model.name=mine"],
        ["model=timm", "model.name=convnext_tiny", "input.size=64"],
        ["model=resnet18", "runtime.precision=bf16", "runtime.compile=default",
         "runtime.channels_last=true", "input.size=64"],
        ["model=resnet18", "engine=onnxruntime", "engine.providers=[CPU]", "input.size=64"],
        ["model=quantized_resnet18", "input.size=64"],
    ],
    ids=lambda words: words[0] + words[-1][:12],
)  # fmt: skip
def test_the_words_of_a_trial_make_it_again(made, tmp_path, words):
    (tmp_path / "nets.py").write_text("class Net: ...\n")
    trial = made(words, tmp_path)
    again = made(words_of(trial), tmp_path)
    assert again.key == trial.key
    assert again.model == trial.model


def test_text_that_means_something_to_hydra_is_quoted():
    assert spelled("a,b") == "'a,b'"
    assert spelled("it's") == r"'it\'s'"
    assert spelled({"a": [1, None, True]}) == "{a:[1,null,true]}"
