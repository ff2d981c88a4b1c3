"""From the plain values of a point to its Trial."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from runner.config.parse import drafted, settled, trial_of
from runner.config.schema import register_schema
from runner.config.values import values_of
from runner.contract import CONF, UsageError
from runner.host.devices import Devices

NO_GPU, ONE_GPU = Devices(), Devices(cuda=1)


@pytest.fixture(scope="module")
def values():
    """The values of a point with these words."""
    register_schema()
    with initialize_config_dir(str(CONF), version_base=None):
        yield lambda *words: values_of(compose("config", list(words)))
    GlobalHydra.instance().clear()


def test_the_defaults_are_the_articles_trial(values):
    trial = trial_of(values(), NO_GPU, Path())
    assert trial.title == "resnet50 640px b1 w20 wall"
    assert (trial.timing.iterations, trial.device) == (100, "cpu")


@pytest.mark.parametrize(
    ("words", "devices", "device", "method"),
    [
        ([], NO_GPU, "cpu", "wall"),
        ([], ONE_GPU, "cuda:0", "event"),
        (["device=cpu"], ONE_GPU, "cpu", "wall"),
        (["model=simulated"], ONE_GPU, "simulated", "event"),
        (["model=quantized_resnet18"], ONE_GPU, "cpu", "wall"),
        (["engine=openvino", "device=cpu"], NO_GPU, "cpu", "wall"),
    ],
)
def test_auto_is_settled_by_the_devices_that_are_there(values, words, devices, device, method):
    trial = trial_of(values(*words), devices, Path())
    assert trial.device.partition(":")[0] == device.partition(":")[0]
    assert trial.timing.method == method


def test_all_problems_of_a_point_are_found_at_once(values):
    given = values("input.batch_size=0", "timing.warmup=-1", "device=tpu")
    with pytest.raises(UsageError) as raised:
        trial_of(given, NO_GPU, Path())
    assert {problem.key for problem in raised.value.problems} == {
        "input.batch_size", "timing.warmup", "device",
    }  # fmt: skip


def test_a_size_that_only_the_source_knows_stays_open_until_it_was_asked(values):
    draft = drafted(values("model=timm", "model.name=resnet18"), Path())
    open_one, none = settled(draft, NO_GPU)
    assert (open_one.input.size, none) == (None, [])
    known, _ = settled(draft, NO_GPU, {draft.trial.model.label: (224, 224)})
    assert known.input.size == (224, 224)
    _, (problem,) = settled(draft, NO_GPU, {})
    assert problem.key == "input.size"


def test_an_engine_that_is_auto_follows_the_source_of_the_network(values):
    names = {"onnx": "onnxruntime", "engine": "tensorrt", "exported": "eager"}
    for model, engine in names.items():
        draft = drafted(values(f"model={model}", "model.file=net"), Path())
        assert draft.trial.engine.name == engine
