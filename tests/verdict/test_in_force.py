"""What was asked for is what was timed, or the number is invalid, with both names."""

from __future__ import annotations

import pytest
from fakes.trials import make_trial

from runner.contract import Level
from runner.records.record import Outcome
from runner.statistics.summary import summarize
from runner.trial.description import Engine
from runner.verdict.flag import Case
from runner.verdict.in_force import not_in_force, other_dtype

EAGER = {
    "threads": 1,
    "interop_threads": 2,
    "dtype": "float32",
    "channels_last": False,
    "autocast": None,
    "deterministic": False,
}
ON_GPU = EAGER | {"tf32_matmul": False, "tf32_cudnn": False, "cudnn_benchmark": False}
RUNTIME = "runtime"


def case(effective, **changes):
    samples = (10.0,) * 40
    outcome = Outcome("completed", latency_ms=samples, effective=effective)
    return Case(make_trial(**changes), outcome, summarize(samples, 1))


def precision(word, **changes):
    return {RUNTIME: {"precision": word}} | changes


VINO = {"engine": Engine("openvino")}
SAME = [
    (EAGER, {}),
    (EAGER | {"threads": 8}, {RUNTIME: {"threads": None}}),
    (EAGER | {"dtype": "bfloat16, int64"}, precision("bf16")),
    (EAGER | {"autocast": "bfloat16"}, precision("amp_bf16")),
    (EAGER | {"dtype": None}, precision("bf16")),
    (EAGER | {"channels_last": True}, {RUNTIME: {"channels_last": True}}),
    (EAGER | {"channels_last": None}, {RUNTIME: {"channels_last": True}}),
    (EAGER | {"graphs": 2}, {RUNTIME: {"compile": "default"}}),
    (ON_GPU, {"device": "cuda"}),
    (ON_GPU | {"tf32_matmul": True, "tf32_cudnn": True}, precision("tf32", device="cuda")),
    (ON_GPU | {"dtype": "float16"}, precision("fp16", device="cuda")),
    (
        {"engine_precision": "bf16", "engine_threads": 1, "dtype": "float32"},
        precision("bf16") | VINO,
    ),
    ({"providers": ["CPUExecutionProvider"]}, {"engine": Engine("onnxruntime", ["CPU"])}),
    ({}, precision("fp16")),  # nothing could be read back: that is another finding
]
OTHER = [
    ({"threads": 4}, {}, "runtime.threads=1 ran as 4"),
    ({"engine_threads": 2}, VINO, "runtime.threads=1 ran as 2"),
    ({"interop_threads": 2}, {RUNTIME: {"interop_threads": 1}}, "interop_threads=1 ran as 2"),
    (EAGER, precision("bf16"), "runtime.precision=bf16 ran as fp32"),
    (EAGER, precision("amp_fp16"), "runtime.precision=amp_fp16 ran as fp32"),
    (EAGER | {"autocast": "bfloat16"}, precision("amp_fp16"), "=amp_fp16 ran as amp_bf16"),
    ({"engine_precision": "fp32"}, precision("fp16") | VINO, "runtime.precision=fp16 ran as fp32"),
    ({"engine_precision": "f64"}, VINO, "runtime.precision=fp32 ran as f64"),
    (EAGER, {RUNTIME: {"channels_last": True}}, "runtime.channels_last=true ran as false"),
    ({"graphs": 0}, {RUNTIME: {"compile": "default"}}, "runtime.compile=default ran as off"),
    (EAGER, {RUNTIME: {"deterministic": True}}, "runtime.deterministic=true ran as false"),
    (ON_GPU | {"tf32_cudnn": True}, {"device": "cuda"}, "=fp32 ran as tf32 in part"),
    (ON_GPU, precision("tf32", device="cuda"), "runtime.precision=tf32 ran as fp32"),
    (ON_GPU, {RUNTIME: {"cudnn_benchmark": True}, "device": "cuda"}, "=true ran as false"),
    (
        {"providers": ["CPUExecutionProvider"]},
        {"engine": Engine("onnxruntime", ["CUDA", "CPU"])},
        "engine.providers=CUDA ran as CPUExecutionProvider",
    ),
]


@pytest.mark.parametrize(("effective", "changes"), SAME)
def test_what_is_as_asked_is_no_finding(effective, changes):
    assert list(not_in_force(case(effective, **changes))) == []


@pytest.mark.parametrize(("effective", "changes", "said"), OTHER)
def test_what_is_not_as_asked_is_invalid_with_both_names(effective, changes, said):
    (flag,) = not_in_force(case(effective, **changes))
    assert (flag.code, flag.level) == ("NOT_IN_FORCE", Level.INVALID)
    assert said in flag.found


def test_a_network_of_another_type_is_noted():
    (flag,) = other_dtype(case(EAGER | {"dtype": "bfloat16"}))
    assert (flag.code, flag.level) == ("OWN_DTYPE", Level.NOTE)
    assert "own weights are bfloat16" in flag.found
    assert list(other_dtype(case(EAGER | {"dtype": "float32, int64"}))) == []
    assert list(other_dtype(case(EAGER | {"dtype": "bfloat16"}, **precision("bf16")))) == []
