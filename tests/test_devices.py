from __future__ import annotations

import pytest

from runner.devices import Devices, resolve_device, resolve_method

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
        ("cpu:1", ONE_GPU, "device is cpu:1; expected auto, cpu, cuda"),
    ],
)
def test_a_device_that_is_not_there_is_refused(device, devices, sentence):
    with pytest.raises(ValueError, match=sentence):
        resolve_device(device, devices)


def test_event_is_the_default_where_there_are_events_and_wall_elsewhere():
    methods = [resolve_method("auto", device) for device in ("cuda:1", "xpu", "cpu", "mps")]
    assert methods == ["event", "event", "wall", "wall"]
    assert resolve_method("naive", "cuda") == "naive"
