"""Every family of models able to run, on the inputs that it takes."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
import torchvision
import yaml
from fakes.program import ROOT
from fakes.trials import make_trial

from runner.models.sources import build
from runner.models.workload import tensors_of
from runner.trial.description import Model, Trial

MODELS = {path.stem: path for path in (ROOT / "conf" / "model").glob("*.yaml")}


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
    [name for name in sorted(torchvision.models.list_models()) if runs_on_meta(name)],
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
        output = tensors_of(workload.forward())
        assert output
        assert all(torch.isfinite(one).all() for one in output if one.is_floating_point())
        assert not workload.call.training


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
        batch, _ = workload.call.transform(images)
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
        batch, _ = workload.call.transform(workload.inputs[0])
    found = workload.describe["network_size"]()
    assert [tuple(found)] == batch.image_sizes
