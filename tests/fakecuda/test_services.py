"""Requests and services on fake GPUs: copies, phases, streams of instances, memory that ends."""

from __future__ import annotations

import pytest
from fakecuda.conftest import codes

pytestmark = pytest.mark.slow
E2E = ("model=resnet18", "input.size=64", "device=cuda", "tracking=off", "pipeline=e2e")
SHORT = ("timing.iterations=10", "timing.warmup=2")
PHASES = ["decode", "preprocess", "h2d", "forward", "d2h", "postprocess"]


def test_a_request_is_copied_there_and_back_and_every_phase_is_waited_for(on_fake_gpus):
    ran = on_fake_gpus(
        *E2E, *SHORT, "pipeline.pinned=false,true", "-m", script="cost kernel 400\ncost conv 400\n"
    )
    assert ran.code == 0, ran.out + ran.err
    assert len(ran.records()) == 2
    for record in ran.records():
        assert [name for name in PHASES if f"{name}_ms" in record.figures] == PHASES
        # 20 convolutions and batch norms, 17 ReLUs, 8 additions, 2 pools, 1 product: 68 kernels
        assert record.figures["forward_ms"] >= 26
        assert record.figures["phases_sum_ms"] > record.figures["forward_ms"]
        assert record.trial.timing.method == "wall"
        assert min(record.latency_ms) >= 26
        assert record.effective["image_size"] == "64x64"


def test_images_can_be_transformed_on_the_gpu(on_fake_gpus):
    ran = on_fake_gpus(
        *E2E, *SHORT, "pipeline.transforms_on=device", "pipeline.decoder=pil,torchvision",
        "pipeline.transforms=v2", "pipeline.workers=1", "-m",
    )  # fmt: skip
    # the preset of the weights asks whether a std is 0, which the fake can't compute
    assert ran.code == 0, ran.out + ran.err
    for record in ran.records():
        order = [name for name in record.series if name.removesuffix("_ms") in PHASES]
        assert order[:3] == ["decode_ms", "h2d_ms", "preprocess_ms"]


@pytest.mark.parametrize("instances", [1, 2])
def test_a_service_on_a_gpu_answers_on_streams_of_its_own(on_fake_gpus, instances):
    ran = on_fake_gpus(
        "model=resnet18", "input.size=32", "device=cuda", "tracking=off", "load=server",
        "load.rate=20", "load.queries=60", "load.max_batch=4", "timing.warmup=2",
        f"load.instances={instances}", script="clock real\ncost kernel 200\ncost conv 200\n",
    )  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    (record,) = ran.records()
    assert len(record.latency_ms) == 60
    # 68 kernels; the answer is waited for, whichever stream it is on
    assert min(record.series["service_ms"]) >= 13
    assert record.contention["gpu"]["unknown"] == {}
    assert "NO_SYNC" not in codes(record)


def test_the_largest_batch_that_fits_on_a_gpu(on_fake_gpus):
    ran = on_fake_gpus(
        "sweep=max_batch", "model=resnet18", "input.size=64", "device=cuda", "tracking=off",
        "timing.iterations=10", "timing.warmup=1", "sweep.max_batch=512",
        script="set memory_mib 650\n",
    )  # fmt: skip
    assert ran.code == 0, ran.out + ran.err
    statuses = {record.trial.input.batch_size: str(record.status) for record in ran.records()}
    assert "out_of_memory" in statuses.values()
    assert "largest batch of resnet18 at 64px that fits: " in ran.out
