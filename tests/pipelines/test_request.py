"""Requests: what their phases are, what they answer, and that overlap changes no answer."""

from __future__ import annotations

import time
from statistics import median

import pytest
import torch
from fakes.trials import make_trial
from PIL import Image

from runner.contract import ModelError
from runner.measure.torch_device import TorchDevice
from runner.models.sources import build
from runner.models.workload import Workload
from runner.pipelines import stages
from runner.pipelines.images import jpegs_of
from runner.pipelines.request import Requests, medians_of, phases_of, problems
from runner.trial.description import Trial

CPU = torch.device("cpu")
E2E = {"name": "e2e"}

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")


def requests_of(trial: Trial) -> Requests:
    with torch.inference_mode():
        return Requests(trial, build(trial, CPU), CPU)


def answers(count: int, **pipeline: object) -> list[object]:
    requests = requests_of(make_trial(pipeline=E2E | pipeline, input={"batch_size": 2}))
    try:
        with torch.inference_mode():
            return [requests.answer() for _ in range(count)]
    finally:
        requests.close()


def test_workers_and_overlap_change_no_answer_and_not_their_order():
    plain = answers(4)
    assert answers(4, workers=2) == plain
    assert answers(4, workers=2, overlap=True) == plain
    assert plain[0] != plain[1]


@pytest.mark.parametrize("overlap", [False, True])
def test_overlap_prepares_the_next_request_while_the_network_runs(overlap):
    requests = requests_of(
        make_trial(pipeline=E2E | {"workers": 1, "overlap": overlap}, input={"batch_size": 2})
    )
    network, prepare = requests._network, requests._prepare
    prepared: list[str] = []
    during: list[int] = []  # images prepared when the network's turn ended

    def noted(jpeg):
        ready = prepare(jpeg)
        prepared.append(jpeg.name)
        return ready

    def patient(batch):
        until_s = time.monotonic() + (20 if overlap else 0.2)
        while len(prepared) < 2 * (len(during) + 2) and time.monotonic() < until_s:
            time.sleep(0.001)
        during.append(len(prepared))
        return network(batch)

    requests._prepare, requests._network = noted, patient
    with torch.inference_mode():
        for _ in range(3):
            requests.answer()
    requests.close()
    assert during == ([4, 6, 8] if overlap else [2, 4, 6])


def test_the_phases_on_a_cpu_follow_each_other_and_add_up_to_the_whole():
    requests = requests_of(make_trial(pipeline=E2E))
    with torch.inference_mode():
        series = phases_of(requests, TorchDevice(CPU), budget_s=0.2)
    assert list(series) == [
        *("decode_ms", "preprocess_ms", "forward_ms", "postprocess_ms"),
        "whole_ms",
    ]
    found = medians_of(series)
    assert found["phases_sum_ms"] == pytest.approx(
        sum(median(series[f"{name}_ms"]) for name in ("decode", "preprocess", "forward"))
        + found["postprocess_ms"]
    )
    least_ms = [min(values) for values in series.values()]  # of noise, on a busy machine
    assert 0.5 < sum(least_ms[:-1]) / least_ms[-1] < 2


def test_phases_and_wholes_are_those_of_the_same_images_all_of_them(monkeypatch, tmp_path):
    for number in range(4):
        Image.new("RGB", (70, 64), 50 * number).save(tmp_path / f"{number}.jpg", "JPEG")
    requests = requests_of(make_trial(pipeline=E2E | {"images": str(tmp_path)}))
    seen: dict[str, list[str]] = {"phases": [], "whole": []}
    by_phases, whole = requests.phase_by_phase, requests.answer_to

    def noted(which, run):
        def carried_out(jpegs, *device):
            seen[which] += [one.name[-5:] for one in jpegs]
            return run(jpegs, *device)

        return carried_out

    monkeypatch.setattr(requests, "phase_by_phase", noted("phases", by_phases))
    monkeypatch.setattr(requests, "answer_to", noted("whole", whole))
    with torch.inference_mode():
        phases_of(requests, TorchDevice(CPU), budget_s=5)
    assert seen["phases"] == seen["whole"]
    assert set(seen["phases"]) == {"0.jpg", "1.jpg", "2.jpg", "3.jpg"}


def test_a_classifiers_image_is_not_squashed():
    image = torch.zeros(3, 100, 200, dtype=torch.uint8)
    image[:, :, 100:] = 255
    square = make_trial(pipeline=E2E, input={"size": (50, 50)})
    found = stages.transform_of(square)(image)
    # the short side becomes 57 (50 * 256 / 224), the long one 114, of which the middle 50 remain
    assert found.shape == (3, 50, 50)
    assert found[0, 25, 20] < 0 < found[0, 25, 30]
    assert stages.transform_of(square).resize_size == [57]


def test_an_answer_of_a_classifier_has_five_classes_for_each_image():
    ((shares, classes), _) = answers(1)[0]
    assert len(shares) == len(classes) == 5
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1


def test_an_answer_of_a_segmentation_is_a_map_of_classes():
    output = {"out": torch.tensor([[[[1.0, 5.0]], [[2.0, 0.0]]]])}  # two classes, 1 x 2 pixels
    assert stages.answer_of("segmentation")(output).tolist() == [[[1, 0]]]


def test_an_answer_of_a_detector_has_no_two_boxes_on_one_thing():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60], [0, 0, 5, 5]])
    output = [
        {
            "boxes": boxes,
            "scores": torch.tensor([0.9, 0.8, 0.7, 0.01]),
            "labels": torch.tensor([1, 1, 2, 3]),
        }
    ]
    (found,) = stages.answer_of("detection")(output)
    assert found["labels"] == [1, 2]
    assert found["boxes"] == [[0, 0, 10, 10], [50, 50, 60, 60]]


@pytest.mark.parametrize("decoder", ["pil", "torchvision"])
@pytest.mark.parametrize(
    "model",
    [
        {"name": "resnet18"},
        {"name": "vit_b_16"},
        {"name": "deeplabv3_resnet50", "task": "segmentation"},
        {"name": "ssdlite320_mobilenet_v3_large", "task": "detection"},
        {"name": "own", "target": "a.b"},
    ],
    ids=lambda model: model["name"],
)
def test_the_transforms_of_the_weights_and_v2_agree(model, decoder):
    found = []
    for transforms in ("weights", "v2"):
        pipeline = E2E | {"transforms": transforms, "decoder": decoder}
        trial = make_trial(model=model, input={"size": (64, 96)}, pipeline=pipeline)
        image = stages.decoder_of(trial)(jpegs_of(trial)[0])
        found.append(stages.transform_of(trial)(image))
    assert found[0].shape == (3, 64, 96)
    assert found[0].dtype == torch.float32
    assert torch.allclose(*found, atol=0.02)  # one of 255 levels, by rounding


def test_a_worker_computes_alone_and_the_networks_threads_stay():
    before = torch.get_num_threads()
    requests = requests_of(make_trial(pipeline=E2E | {"workers": 2}))
    try:
        assert requests._workers.submit(torch.get_num_threads).result() == 1
        assert torch.get_num_threads() == before
    finally:
        requests.close()


@pytest.mark.parametrize(
    "inputs",
    [(torch.zeros(1, 3, 8, 8), torch.zeros(1)), (torch.zeros(1, 3),), ({"x": torch.zeros(1)},)],
)
def test_a_network_with_other_inputs_is_refused(inputs):
    with pytest.raises(ModelError, match="takes networks with one batch of images"):
        Requests(make_trial(pipeline=E2E), Workload(torch.nn.Identity(), inputs, {}), CPU)


def test_a_batch_has_the_type_and_memory_order_of_the_networks_inputs():
    seen = []
    example = torch.zeros(2, 3, 64, 64, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    work = Workload(lambda batch: seen.append(batch) or torch.zeros(2, 10), (example,), {})
    Requests(make_trial(pipeline=E2E, input={"batch_size": 2}), work, CPU).answer()
    assert seen[0].dtype == torch.bfloat16
    assert seen[0].shape == (2, 3, 64, 64)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_a_torchvision_without_its_decoder_is_a_problem(monkeypatch):
    trial = make_trial(pipeline=E2E | {"decoder": "torchvision"})
    assert list(problems(trial)) == []
    monkeypatch.delattr("torchvision.io.decode_jpeg")
    assert "no longer decodes JPEGs; use pipeline.decoder=pil" in str(next(problems(trial)))
