"""Files through the real program: each input by its name, in its shape and type, or refused."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fakes.program import ROOT

pytestmark = pytest.mark.slow
NETS = """
import torch

class Difference(torch.nn.Module):
    def forward(self, left, right):
        return left - 2 * right

class Last(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
    def forward(self, x):
        return self.conv(x.permute(0, 3, 1, 2))

def swapped(batch_size, size, device):
    made = torch.zeros(batch_size, 3, *size)
    return {"right": made + 1, "left": made}

def last(batch_size, size, device):
    return torch.randn(batch_size, *size, 3)
"""
FILES = """
import torch, own
pair, image = own.swapped(1, (32, 32), None), own.last(1, (32, 48), None)
torch.export.save(torch.export.export(own.Difference(), (), kwargs=pair), "pair.pt2")
torch.onnx.export(own.Difference(), (), "pair.onnx", kwargs=pair, dynamo=True, verbose=False)
torch.onnx.export(own.Last().eval(), (image,), "last.onnx", dynamo=True, verbose=False)
half = torch.nn.Conv2d(3, 4, 3).bfloat16().eval()
x = torch.randn(1, 3, 32, 32).bfloat16()
torch.export.save(torch.export.export(half, (x,)), "half.pt2")
torch.save(half.state_dict(), "state.pth")
"""
QUICK = ("timing.warmup=2", "timing.iterations=10", "runtime.threads=1", "tracking=off")


@pytest.fixture
def files(program, tmp_path):
    """Runs the program where the files are."""
    (tmp_path / "own.py").write_text(NETS)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FILES],
        cwd=tmp_path,
        check=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    return lambda *words: program(*words, *QUICK)


def test_files_of_all_kinds_get_what_they_take_or_are_refused(files):
    pair = ("model.inputs=own.swapped", "input.size=32")
    for words in (
        ("model=exported", "model.file=pair.pt2", "engine=eager,openvino", *pair),
        ("model=onnx", "model.file=pair.onnx", "engine=onnxruntime,openvino", *pair),
        ("model=onnx", "model.file=last.onnx", "model.inputs=own.last"),
        ("model=exported", "model.file=half.pt2"),
    ):
        ran = files(*words)
        assert ran.code == 0, ran.out + ran.err
    found = {(one.trial.model.file, one.trial.engine.name): one for one in ran.records()}
    assert found["pair.pt2", "openvino"].figures["rel_error"] < 1e-5  # swapped, it would be 3
    assert found["last.onnx", "onnxruntime"].trial.input.size == (32, 48)
    half = found["half.pt2", "eager"]
    assert half.effective["dtype"] == half.effective["input_dtype"] == "bfloat16"
    assert "OWN_DTYPE" in [reason["code"] for reason in half.reasons]
    for words, told in (
        (("model=onnx", "model.file=last.onnx"), "takes inputs of 1x32x48x3, but 1x3x32x48"),
        (("model=onnx", "model.file=pair.onnx"), "takes 2 inputs: right, left"),
        (("model=torchscript", "model.file=state.pth"), "was written by torch.save"),
        (("model=torchscript", "model.file=half.pt2"), "use model=exported"),
        (("model=timm", "model.name=vit_tiny_patch16_224", "input.size=96"), "{img_size: 96}"),
    ):
        refused = files(*words)
        assert refused.code == 2, refused.out + refused.err
        assert told in refused.err
