"""A trial as words: they make the same trial again, whatever is in it."""

from __future__ import annotations

from random import Random

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from runner.config.parse import trial_of
from runner.config.schema import register_schema
from runner.config.to_overrides import spelled, words_of
from runner.config.values import values_of
from runner.contract import CONF
from runner.host.devices import Devices
from runner.trial.description import FACTS


@pytest.fixture
def made():
    register_schema()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base=None):
        yield lambda words, folder: trial_of(
            values_of(compose("config", [*words, f"hydra.searchpath=['file://{folder}/own']"])),
            *(Devices(cuda=2), folder),
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
        ["model=custom", "model.target=nets.Net", "input.size=64"],
        ["model=custom", "model.target=nets.Net", "model.inputs=nets.Net", "input.size=64"],
        ["model=onnx", "model.file='a b/net.onnx'", "input.size=64"],
        ["model=exported", "model.file=net.pt2", "input.size=64", "engine=eager"],
        ["model=torchscript", "model.file=net.pt", "model.task=segmentation"],
        ["model=mine", "input.size=64"],
        ["model=renamed", "input.size=64", "model.kwargs.depth=2"],
        ["model=resnet18", "runtime.precision=bf16", "runtime.compile=default",
         "runtime.channels_last=true", "input.size=64"],
        ["model=resnet18", "engine=onnxruntime", "engine.providers=[CPU]", "input.size=64"],
        ["model=quantized_resnet18", "input.size=64"],
    ],
    ids=lambda words: words[0] + words[-1][:12],
)  # fmt: skip
def test_the_words_of_a_trial_make_it_again(made, tmp_path, words):
    (tmp_path / "nets.py").write_text("class Net: ...\n")
    own = tmp_path / "own" / "model"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("name: mine\ntarget: nets.Net\nkwargs: {width: 3}\n")
    (own / "renamed.yaml").write_text("name: resnet18\ndefault_size: 96\n")
    trial = made(words, tmp_path)
    again = made(words_of(trial), tmp_path)
    assert again.key == trial.key
    known = [
        {name: value for name, value in vars(one.model).items() if name not in FACTS}
        for one in (trial, again)
    ]
    assert known[0] == known[1]


STRINGS = (
    *("true", "null", "nan", "1e3", "", "it's", "\\", "a\\", "\\'", "C:\\dir", "${x}", "\\${x}"),
    *("é", " lead", "trail ", "a=b", "[1]", "{", "~x", "#", "a:b", "1_000", '"'),
)


def test_any_text_comes_back_as_it_was():
    """Through Hydra's grammar and OmegaConf's: the hardest ones, and 500 from a seed."""
    random = Random(1)
    texts = ["".join(random.choices("ab'\\\"${} ,:=()[]~-1", k=6)) for _ in range(500)]
    read = OverridesParser.create()
    for text in [*STRINGS, *texts]:
        values = {"a": text, "b": [text, {"c": text}]}
        given = OmegaConf.create({"x": read.parse_override(f"x={spelled(values)}").value()})
        assert OmegaConf.to_container(given, resolve=True) == {"x": values}, text


def test_text_that_means_something_to_hydra_is_quoted():
    assert spelled("a,b") == "'a,b'"
    assert spelled("it's") == r"'it\'s'"
    assert spelled({"a": [1, None, True]}) == "{a:[1,null,true]}"
