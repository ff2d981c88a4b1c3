"""TensorRT, by twins of its packages: what is asked of them, and what is refused."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from fakes.tensorrt_twin import TENSORRT, TORCH_TENSORRT
from fakes.trials import make_trial

from runner.contract import ModelError
from runner.models import engine, sources, tensorrt
from runner.trial.description import Engine, Model

LINES = "engine\nleft INPUT FLOAT 1x3x4x4\nright INPUT FLOAT 1x3x4x4\nout OUTPUT FLOAT 1x3x4x4\n"
ON_GPU = {"engine": Engine("tensorrt"), "device": "cuda"}


@pytest.fixture(autouse=True)
def twins(monkeypatch, tmp_path):
    """Both packages, and a folder with an engine."""
    for name, code in (("tensorrt", TENSORRT), ("torch_tensorrt", TORCH_TENSORRT)):
        (tmp_path / f"{name}.py").write_text(code)
        module = ModuleType(name)
        exec(compile(code, name, "exec"), module.__dict__)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(module, "__spec__", object(), raising=False)
    (tmp_path / "net.engine").write_text(LINES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def a_file(**changes):
    model = Model("engine", source="engine", file="net.engine", default_size=None, **changes)
    return make_trial(model=model, **ON_GPU)


def test_an_engine_gets_its_inputs_by_their_names_and_gives_its_output():
    call = tensorrt.bound(
        engine.deserialized(engine.network(a_file()).path), torch.device("cpu"), 0
    )
    left, right = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    for inputs in ((left, right), ({"right": right, "left": left},)):
        (output,) = call(*inputs)
        torch.testing.assert_close(output, left - 2 * right)
    with pytest.raises(ModelError, match="takes left, right, but is given 1 tensors"):
        call(left)


def test_the_file_says_what_it_takes():
    trial = a_file()
    assert engine.own_size(trial.model) == (4, 4)
    assert engine.input_dtypes(engine.network(trial)) == [torch.float32] * 2
    (problem,) = engine.problems(trial)
    assert "net.engine takes 2 inputs: left, right" in str(problem)


def test_an_engine_of_another_version_or_gpu_is_told(twins):
    (twins / "net.engine").write_bytes(b"\x00\x01")
    found = [str(problem) for problem in sources.problems([a_file()])]
    assert any("is not an engine that TensorRT 10.9.0 can run on this GPU" in one for one in found)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_network_is_cast_and_converted(precision):
    trial = make_trial(runtime={"precision": precision}, **ON_GPU)
    network = torch.nn.Conv2d(3, 4, 3)
    workload = tensorrt.prepare(network, (torch.randn(1, 3, 8, 8),), trial, torch.device("cpu"))
    facts = {name: read() for name, read in workload.describe.items()}
    assert facts["engine"] == "torch_tensorrt 2.11.0"
    assert facts["engine_parts"] == {"tensorrt": 1, "torch": 0}
    dtype = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}[precision]
    assert facts["dtype"] == facts["input_dtype"] == dtype
    assert workload.setup_s["convert_s"] >= 0
    assert workload.reference().dtype == torch.float32


def test_what_it_can_not_do_is_refused(monkeypatch):
    (problem,) = tensorrt.problems(make_trial(runtime={"precision": "amp_fp16"}, **ON_GPU))
    assert "which TensorRT does not support; use fp32 or tf32 or fp16 or bf16" in str(problem)
    own = a_file()
    (problem,) = engine.problems(make_trial(model=own.model, engine=Engine("eager")))
    assert "engine=eager does not run TensorRT engines; use engine=tensorrt" in str(problem)
    monkeypatch.setattr(tensorrt, "find_spec", lambda name: None)
    (problem,) = tensorrt.problems(make_trial(**ON_GPU))
    assert "pip install -e '.[tensorrt]'" in str(problem)


def test_without_a_gpu_it_is_refused_with_the_reasons(program):
    ran = program("engine=tensorrt", "model=resnet18", "tracking=off")
    assert ran.code == 2
    assert "engine=tensorrt needs an NVIDIA GPU, but the device is cpu" in ran.err
