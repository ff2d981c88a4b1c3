"""conf/: every line explained, every model of torchvision there, every family able to run."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import pytest
import torch
import torchvision
import yaml
from conftest import ROOT, make_trial

from runner.config import Config, register_schema
from runner.models import build, effective_settings, tensors_of
from runner.trial import Model, Trial

CONF = ROOT / "conf"
MODELS = {path.stem: path for path in (CONF / "model").glob("*.yaml")}


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_opens_with_a_command_and_explains_each_line(path):
    lines = path.read_text().splitlines()
    head = [line for line in lines if line.startswith("# ")]
    assert any("python -m runner" in line for line in head[:2])
    inside_text = False
    for line in lines:
        if inside_text and (line.startswith(" " * 6) or not line):
            continue
        inside_text = bool(re.search(r":\s*\|", line))
        if ": " in line and not line.lstrip().startswith("#"):
            assert "#" in line or "header:" in line, f"{path.name}: unexplained: {line}"


def test_conf_model_holds_exactly_the_models_of_torchvision():
    assert set(MODELS) - {"custom", "simulated"} == set(torchvision.models.list_models())


def model_of(name: str) -> Model:
    return Model(**yaml.safe_load(MODELS[name].read_text()))


def trial_for(name: str) -> Trial:
    model = model_of(name)
    side = next(
        size
        for size in (64, 80, 128, 224, model.default_size)
        if size >= model.min_size and size % model.size_multiple == 0
    )
    frames = 16 if model.task == "video" else 1
    return make_trial(model=model, input={"size": (side, side), "frames": frames})


def runs_on_meta(name: str) -> bool:
    """Not detectors (data-dependent shapes), int8 (packed weights), RegNet (widths are tensors)."""
    return model_of(name).task not in ("detection", "quantized") and "regnet" not in name


@pytest.mark.parametrize(
    "name",
    [name for name in sorted(MODELS) if name not in ("custom", "simulated") and runs_on_meta(name)],
)
def test_every_model_takes_the_inputs_of_its_family(name, monkeypatch):
    """Shapes only, on the meta device; the families that can't run there follow below."""
    trial = trial_for(name)
    with warnings.catch_warnings(), torch.device("meta"), torch.inference_mode():
        warnings.simplefilter("ignore")
        output = tensors_of(build(trial, torch.device("meta")).forward())
    assert output
    assert all(tensor.shape[0] == 1 for tensor in output)


@pytest.mark.parametrize(
    "name",
    [
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "fcos_resnet50_fpn",
        "keypointrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn",
        "retinanet_resnet50_fpn",
        "ssd300_vgg16",
        "ssdlite320_mobilenet_v3_large",
        "quantized_googlenet",
        "quantized_inception_v3",
        "quantized_mobilenet_v2",
        "quantized_mobilenet_v3_large",
        "quantized_resnet18",
        "quantized_shufflenet_v2_x0_5",
        "raft_small",
        "r3d_18",
        "lraspp_mobilenet_v3_large",
        "regnet_x_400mf",
        "regnet_y_400mf",
    ],
)
def test_one_of_each_family_really_runs(name):
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        workload = build(trial_for(name), torch.device("cpu"))
        assert workload.forward() is not None
        assert not workload.network.training


def test_detectors_see_the_size_that_was_asked_for():
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        workload = build(
            make_trial(
                model=model_of("fasterrcnn_mobilenet_v3_large_fpn"), input={"size": (96, 128)}
            ),
            torch.device("cpu"),
        )
        (images,) = workload.inputs
        batch, _ = workload.network.transform(images)
    assert batch.image_sizes == [(96, 128)]


@pytest.mark.parametrize("size", [(96, 128), (700, 500), (64, 1000)])
@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("fasterrcnn_mobilenet_v3_large_fpn", {}),
        ("fasterrcnn_mobilenet_v3_large_fpn", {"min_size": 800, "max_size": 1333}),
        ("ssdlite320_mobilenet_v3_large", {}),
    ],
)
def test_the_size_a_detector_works_at_is_known(name, kwargs, size):
    """As its own transform scales the images, before they are padded into one batch."""
    model = replace(model_of(name), kwargs=kwargs)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        trial = make_trial(model=model, input={"size": size})
        workload = build(trial, torch.device("cpu"))
        batch, _ = workload.network.transform(workload.inputs[0])
    found = effective_settings(workload, torch.device("cpu"), size)["network_size"]()
    assert [tuple(found)] == batch.image_sizes


def test_the_schema_types_every_key_of_the_configuration():
    register_schema()
    given = yaml.safe_load((CONF / "config.yaml").read_text())
    del given["defaults"], given["hydra"]
    assert set(given) <= set(Config.__dataclass_fields__)
