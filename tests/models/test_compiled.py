"""torch.compile: refused without a compiler, counted where it works."""

from __future__ import annotations

import pytest
from fakes.trials import make_trial

from runner.models import compiled


def trial_with(**changes):
    return make_trial(runtime={"compile": "default"}, **changes)


def test_it_is_refused_without_a_compiler(monkeypatch):
    from torch._inductor import cpp_builder, exc
    from torch.utils import _triton

    def none():
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    (problem,) = compiled.problems(trial_with())
    assert "runtime.compile=default needs a C++ compiler" in str(problem)
    monkeypatch.setattr(_triton, "has_triton", lambda: False)
    (problem,) = compiled.problems(trial_with(device="cuda"))
    assert "needs Triton" in str(problem)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_compiled_network_is_timed_apart_from_its_compilation(program, tmp_path):
    ran = program(
        "model=custom",
        "model.target=networks.Conv,networks.Changing",
        "input.size=32",
        "runtime.compile=reduce-overhead",
        "runtime.compile_cache=cold",
        "timing.warmup=3",
        "timing.iterations=20",
        "timing.inner=1",
        "tracking=off",
    )
    assert ran.code == 0, ran.out + ran.err
    record, changing = ran.records()
    assert record.figures["compile_s"] > 1
    assert record.figures["rel_error"] < 1e-5
    assert record.effective["graphs"] >= 1
    assert record.effective["recompilations"] == 0
    assert record.effective["compile_cache"]["warm"] is False
    assert record.summary["p50_ms"] < 1000 * record.figures["compile_s"]
    assert changing.effective["graph_breaks"] >= 1
    assert changing.effective["recompilations"] >= 1
    assert changing.verdict == "invalid"
    assert "RECOMPILED" in {reason["code"] for reason in changing.reasons}
