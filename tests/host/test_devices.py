from __future__ import annotations

import pytest

from runner.contract import Problem
from runner.host.devices import Devices, resolve_device

ONE_GPU = Devices(cuda=1)


@pytest.mark.parametrize(
    ("devices", "device"),
    [(Devices(), "cpu"), (ONE_GPU, "cuda"), (Devices(xpu=1), "xpu"), (Devices(mps=1), "mps")],
)
def test_auto_takes_the_accelerator_that_is_there(devices, device):
    assert resolve_device("auto", devices) == device


def test_a_device_is_taken_by_its_number():
    assert resolve_device("cuda:1", Devices(cuda=2)) == "cuda:1"


@pytest.mark.parametrize(
    ("device", "devices", "sentence"),
    [
        ("cuda", Devices(), "torch sees no cuda device here; use device=cpu"),
        ("cuda:1", ONE_GPU, "torch sees 1 cuda device here; use cuda:0 to cuda:0"),
        ("tpu", ONE_GPU, "device is tpu; expected auto, cpu, cuda"),
        ("cpu:1", ONE_GPU, "device is cpu:1; did you mean cpu? expected auto, cpu, cuda"),
    ],
)
def test_a_device_that_is_not_there_is_refused(device, devices, sentence):
    found = resolve_device(device, devices)
    assert isinstance(found, Problem)
    assert found.key == "device"
    assert sentence in str(found)
