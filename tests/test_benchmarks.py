"""What benchmarks/gpu.py does around its oracles, on a machine without a GPU."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
import torch
from fakes.program import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu


def test_no_test_but_the_gpus_own_sees_a_gpu():
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert not torch.cuda.is_available()


@pytest.fixture
def made_up_gpu(monkeypatch):
    """A CUDA that is there; `events` tells what was asked of it, and in which order."""
    events = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: events.append("context") or "H100")
    row = ["event", "20", "1.00", "1.00", "1000.00", "valid"]
    monkeypatch.setattr(gpu, "article", lambda: iter([events.append("article") or row]))
    return SimpleNamespace(events=events)


def test_an_oracle_that_fails_is_a_row_and_the_others_go_on(
    monkeypatch, capsys, made_up_gpu, tmp_path
):
    written = tmp_path / "gpu.md"

    def breaks():
        yield gpu.Figure("first", 1.0, "", 0.9, 1.1)
        raise RuntimeError("CUDA error: misaligned address\nmore")

    def lacks():
        raise gpu.NotHere("there is no compiler")
        yield

    def goes_on():
        assert "| first | 1 | 0.9 to 1.1 | yes |" in written.read_text()  # as it came
        yield gpu.Figure("second", 2.0, "ms", None, 1.5)

    monkeypatch.setattr(gpu, "ORACLES", (breaks, lacks, goes_on))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--output", str(written)])
    assert gpu.main() == 1
    text = written.read_text()
    assert text == capsys.readouterr().out
    assert "| breaks | RuntimeError: CUDA error: misaligned address |  | NO |" in text
    assert "| lacks | skipped: there is no compiler |  | - |" in text
    assert "| second | 2 ms | to 1.5 | NO |" in text
    assert made_up_gpu.events == ["article", "context"]  # the article's has the GPU to itself


def test_what_a_machine_lacks_makes_no_failure(monkeypatch, made_up_gpu):
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    monkeypatch.setattr(gpu, "ORACLES", (gpu.triton,))
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 0


def test_a_failed_trial_has_its_row_in_the_articles_table():
    record = {
        "summary": {},
        "trial": {"timing": {"method": "graph", "warmup": 20}},
        "reasons": [],
        "error": {"message": "can't be captured"},
        "verdict": None,
        "status": "failed",
    }
    assert gpu.row(record) == ["graph", "20", "-", "-", "-", "failed can't be captured"]
