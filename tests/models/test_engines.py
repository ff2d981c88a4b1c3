"""Engines and files through the real program: the same network, the same output."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import torch
from fakes.program import ROOT
from fakes.trials import make_trial
from onnxruntime import OrtValue

from runner.models import onnxruntime, openvino, sources
from runner.models.workload import on_stream
from runner.trial.description import Engine, Model
from runner.trial.rules import problems

QUICK = ("timing.warmup=2", "timing.iterations=10", "runtime.threads=1", "tracking=off")
FILES = """
import torch
from networks import Conv
net = Conv().eval()
x = torch.randn(1, 3, 32, 32)
torch.jit.trace(net, x).save("net.pt")
torch.export.save(torch.export.export(net, (x,)), "net.pt2")
torch.onnx.export(net, (x,), "net.onnx", dynamo=True, verbose=False)
"""


def by(records, name):
    return {getattr(record.trial.engine, name): record for record in records}


def test_every_engine_runs_the_network_and_gives_its_output(program):
    ran = program(
        "model=custom",
        "model.target=networks.TwoInputs",
        "model.inputs=networks.two_inputs",
        "input.size=32",
        "input.batch_size=2",
        "engine=eager,onnxruntime,openvino",
        *QUICK,
    )
    assert ran.code == 0, ran.out + ran.err
    found = by(ran.records(), "name")
    assert set(found) == {"eager", "onnxruntime", "openvino"}
    for name in ("onnxruntime", "openvino"):
        record = found[name]
        assert record.effective["engine"].startswith(name)
        assert record.effective["engine_threads"] == 1
        assert record.effective["input_shapes"] == [[2, 4], [2, 3, 32, 32]]
        assert record.figures["rel_error"] < 1e-5
        assert record.figures["convert_s"] > 0
    assert found["onnxruntime"].effective["providers"] == ["CPUExecutionProvider"]
    assert found["openvino"].effective["engine_precision"] == "fp32"
    assert "rel err" in ran.out
    assert "engine" in ran.out


def test_the_sweep_of_engines_says_which_is_fastest_and_whether_it_is_right(program):
    words = ("sweep=engines", "model=custom", "model.target=networks.Conv", "input.size=32")
    ran = program(*words, "sweep.repeats=2", *QUICK)
    assert ran.code == 0, ran.out + ran.err
    head = next(line for line in ran.out.splitlines() if "speed-up" in line)
    assert "rel err" in head
    for name in ("onnxruntime", "openvino"):
        line = next(line for line in ran.out.splitlines() if line.startswith(name))
        # between processes that count: on a busy machine some are invalid, and leave no interval
        assert re.search(r" \d+\.\d\d( \(\d+\.\d\d to \d+\.\d\d\))? ", line), line
    figures = [record.figures for record in ran.records()]
    assert {one["parameters"] for one in figures} == {269}
    assert len({one["gflop"] for one in figures}) == 1
    listed = program(*words, "dry_run=true").out
    assert f"{figures[0]['gflop']:.4g} GFLOP, 0.000269 M parameters" in listed


def test_a_setting_that_the_network_changes_makes_the_number_invalid(program):
    words = ("model=custom", "model.target=networks.OneThread", "input.size=32", *QUICK[:2])
    ran = program(*words, "runtime.threads=2", "tracking=off")
    (record,) = ran.records()
    assert record.verdict == "invalid"
    assert "NOT_IN_FORCE" in [reason["code"] for reason in record.reasons]
    assert "runtime.threads=2 ran as 1" in ran.out


def test_denormal_numbers_are_noted(program):
    ran = program("model=custom", "model.target=networks.Tiny", "input.size=32", *QUICK)
    (record,) = ran.records()
    assert record.effective["denormal_weights"] == 1.0
    assert "DENORMAL: 100% of the weights" in ran.out
    assert "torch.set_flush_denormal" in ran.out


def test_what_the_cpu_has_not_is_refused_beforehand(monkeypatch):
    monkeypatch.setattr(openvino, "_capabilities", lambda: ["FP32", "INT8"])
    trial = make_trial(engine=Engine("openvino"), runtime={"precision": "bf16"})
    (problem,) = openvino.problems(trial)
    assert str(problem) == (
        "runtime.precision=bf16, but OpenVINO does not support bf16 on this CPU; use fp32"
    )


def test_a_network_that_stays_in_training_mode_is_refused_by_every_engine(program):
    words = ("model=custom", "model.target=networks.Stubborn", "input.size=32", *QUICK)
    ran = program(*words, "engine=eager,onnxruntime,openvino")
    assert ran.code == 1
    assert [record.status for record in ran.records()] == ["failed"] * 3
    assert all("is in training mode" in record.error["message"] for record in ran.records())


def test_a_network_is_read_from_its_file(program, tmp_path):
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FILES],
        cwd=tmp_path,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    for source, file, engines in (
        ("torchscript", "net.pt", "eager"),
        ("exported", "net.pt2", "eager,openvino"),
        ("onnx", "net.onnx", "auto,openvino"),
    ):
        size = ["input.size=32"] if source == "torchscript" else []  # the others know theirs
        words = (f"model={source}", f"model.file={file}", f"engine={engines}", *size, *QUICK)
        ran = program(*words, f"sweep.id={source}")
        assert ran.code == 0, ran.out + ran.err
        records = [record for record in ran.records() if record.sweep_id == source]
        assert {record.trial.input.size for record in records} == {(32, 32)}
        assert {record.trial.model.label for record in records} == {file}
        assert len(records) == engines.count(",") + 1
    refused = program(*("model=onnx", "model.file=net.onnx", "engine=eager", *QUICK))
    assert refused.code == 2
    assert "engine=eager is torch, which does not run ONNX files" in refused.err
    other = program(*("model=exported", "model.file=net.pt2", "input.batch_size=2", *QUICK))
    assert other.code == 2
    assert "net.pt2 takes inputs of 1x3x32x32, but 2x3x32x32 were requested" in other.err


def test_timm_s_models_have_their_own_size(program):
    ran = program("model=timm", "model.name=test_resnet,test_vit", *QUICK)
    assert ran.code == 0, ran.out + ran.err
    first, second = ran.records()
    assert first.trial.input.size == second.trial.input.size == (160, 160)
    assert first.title.startswith("timm/test_")
    assert first.effective["normalisation"]["mean"]
    assert first.effective["eval"] is True


def test_sizes_are_asked_of_those_that_know():
    known = Model("test_resnet", source="timm", default_size=None)
    trials = [make_trial(), make_trial(model=known)]
    assert sources.own_sizes(trials) == {"timm/test_resnet": (160, 160)}


@pytest.mark.parametrize(
    ("engine", "changes", "sentence"),
    [
        (
            Engine("onnxruntime", ["TensorRT", "CPU"]),
            {},
            "engine.providers has TensorRT, but this onnxruntime has CPU",
        ),
        (Engine("onnxruntime", ["CPU"]), {"device": "cuda"}, "but the device is cuda"),
        (
            Engine("onnxruntime"),
            {"runtime": {"precision": "bf16"}},
            "which ONNX Runtime does not support on cpu; use fp32",
        ),
        (Engine("openvino"), {"device": "cuda"}, "engine=openvino runs on the CPU here"),
        (Engine("openvino"), {"runtime": {"precision": "tf32"}}, "use fp32 or bf16 or fp16"),
    ],
)
def test_an_engine_refuses_what_it_has_not(engine, changes, sentence):
    module = {"onnxruntime": onnxruntime, "openvino": openvino}[engine.name]
    found = list(map(str, module.problems(make_trial(engine=engine, **changes))))
    assert any(sentence in problem for problem in found), found


class Binding:
    """ONNX Runtime's, on a GPU that is this process's memory."""

    def __init__(self):
        self.inputs, self.outputs, self.ran = {}, {}, 0

    def bind_input(self, name, device, index, element, shape, pointer):
        self.inputs[name] = (device, index, element, shape, pointer)

    def bind_output(self, name, *where):
        self.outputs[name] = where

    def clear_binding_outputs(self):
        self.outputs = {}

    def get_outputs(self):
        return [Value()]


class Value:
    def numpy(self):
        return torch.full((2, 5), 7.0).numpy()


class Session:
    def __init__(self):
        self.binding = Binding()

    def get_inputs(self):
        return [Named("image")]

    def get_outputs(self):
        return [Named("logits")]

    def io_binding(self):
        return self.binding

    def run_with_iobinding(self, binding):
        binding.ran += 1


class Named:
    def __init__(self, name):
        self.name = name


def test_on_a_gpu_inputs_and_outputs_stay_there():
    session, image = Session(), torch.zeros(2, 3, 4, 4, dtype=torch.float16)
    call = onnxruntime.on_gpu(session, torch.device("cpu"), None)
    (output,) = call(image)
    assert session.binding.inputs == {"image": ("cuda", 0, 10, [2, 3, 4, 4], image.data_ptr())}
    assert session.binding.outputs == {"logits": ("cuda", 0, 1, [2, 5], output.data_ptr())}
    (again,) = call(image)
    assert again is output
    assert session.binding.ran == 2


class Stream:
    """A fake CUDA stream that records the calls made to it."""

    def __init__(self, said, name="current"):
        self.previous_verdicts, self.name = said, name

    def wait_event(self, event):
        self.previous_verdicts.append((self.name, "waits for", event.of))


def test_a_run_is_queued_between_what_is_before_and_after_it(monkeypatch):
    said = []

    class Event:
        def record(self, stream):
            self.of = stream.name

    current, own = Stream(said), Stream(said, "own")
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    run = on_stream(lambda word: said.append(word), own, torch.device("cuda", 0))
    run("runs")
    assert said == [("own", "waits for", "current"), "runs", ("current", "waits for", "own")]


@pytest.mark.parametrize(
    ("engine", "device", "method", "refused"),
    [
        (Engine("onnxruntime"), "cuda", "event", None),
        (Engine("onnxruntime", ["CUDA", "CPU"]), "cuda:1", "queued", None),
        (Engine("onnxruntime"), "cuda", "graph", "wall or naive or event or queued or pipelined"),
        (Engine("onnxruntime", ["TensorRT", "CUDA"]), "cuda", "event", "wall or naive"),
        (Engine("onnxruntime"), "cpu", "event", "wall or naive"),
        (Engine("openvino"), "cpu", "queued", "wall or naive"),
        (Engine("tensorrt"), "cuda", "pipelined", None),
    ],
)
def test_events_go_with_an_engine_on_a_stream_of_torch(engine, device, method, refused):
    trial = make_trial(engine=engine, device=device, timing={"method": method})
    found = [str(problem) for problem in problems(trial) if "torch's stream" in str(problem)]
    assert len(found) == (refused is not None)
    assert all(problem.endswith(f"use timing.method={refused}") for problem in found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_what_onnxruntime_gives_becomes_a_tensor_of_its_own(dtype):
    given = torch.arange(6).reshape(2, 3).to(dtype)
    found = onnxruntime.tensor_of(OrtValue.from_dlpack(given))
    assert torch.equal(found, given)
    given.zero_()
    assert found.count_nonzero() == 5
