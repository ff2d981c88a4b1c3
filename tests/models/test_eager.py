"""A network as it is asked for: cast, laid out, in autocast; and what it really is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.trials import make_trial

from runner.models import eager
from runner.models.guard import agreement
from runner.models.workload import dtypes_of, tensors_of
from runner.worker.torch_settings import in_force

CPU = torch.device("cpu")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Conv2d(3, 8, 3)
        self.last = torch.nn.Conv2d(8, 4, 1)

    def forward(self, image, scale=None):
        seen = self.last(self.inner(image)).mean((2, 3))
        return {"logits": seen if scale is None else seen * scale}


def prepared(inputs=None, network=None, **runtime):
    trial = make_trial(runtime=runtime)
    torch.manual_seed(0)
    inputs = inputs or (torch.randn(2, 3, 16, 16),)
    return eager.prepare(network or Net(), inputs, trial, CPU)


def facts(workload, *names):
    return [workload.describe[name]() for name in names]


@pytest.mark.parametrize(
    ("precision", "weights", "inputs", "autocast", "output"),
    [
        ("fp32", "float32", "float32", None, "float32"),
        ("bf16", "bfloat16", "bfloat16", None, "bfloat16"),
        ("amp_bf16", "float32", "float32", "bfloat16", "bfloat16"),
    ],
)
def test_a_precision_is_what_weights_inputs_and_output_really_have(
    precision, weights, inputs, autocast, output
):
    with torch.inference_mode():
        workload = prepared(precision=precision)
        given = workload.forward()
        assert facts(workload, "dtype", "input_dtype", "autocast") == [weights, inputs, autocast]
        assert dtypes_of(given) == output
        if precision == "fp32":
            assert workload.reference is None  # it is the reference itself
        else:
            error = agreement(given, workload.reference(), classes=False).rel_error
            assert 1e-4 < error < 5e-2


def test_channels_last_is_the_order_of_weights_and_inputs():
    with torch.inference_mode():
        workload = prepared(channels_last=True)
        (images,) = workload.inputs
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert facts(workload, "channels_last") == [True]
        assert facts(prepared(), "channels_last") == [False]
        clips = prepared(
            (torch.randn(1, 3, 4, 8, 8),), torch.nn.Conv3d(3, 4, 3), channels_last=True
        )
        assert facts(clips, "channels_last") == [True]
        assert clips.inputs[0].is_contiguous(memory_format=torch.channels_last_3d)


def test_a_dictionary_of_inputs_is_keywords_and_whole_numbers_stay_so():
    given = {"scale": torch.ones(2, 4, dtype=torch.int64), "image": torch.randn(2, 3, 16, 16)}
    with torch.inference_mode():
        workload = prepared((given,), precision="bf16")
        assert facts(workload, "input_dtype") == ["int64, bfloat16"]
        given = workload.forward()
        assert tensors_of(given)[0].shape == (2, 4)
        assert agreement(given, workload.reference(), classes=False).rel_error < 5e-2


def test_rotated_inputs_keep_their_nesting():
    given = {"scale": torch.ones(2, 4), "image": torch.randn(2, 3, 16, 16)}
    with torch.inference_mode():
        workload = prepared((given,), channels_last=True).rotated(20_000)
        first, second = workload.forward(), workload.forward()
        assert torch.equal(first["logits"], second["logits"])
        assert workload.own_bytes > 0
        assert workload.reference is not None


def test_settings_hold_for_the_trial_only():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, torch.get_num_threads()
    runtime = make_trial().runtime
    with in_force(replace(runtime, deterministic=True, cudnn_benchmark=True)):
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (False, False)
        assert torch.are_deterministic_algorithms_enabled()
        assert cudnn.benchmark
        assert torch.get_num_threads() == 1
    with in_force(replace(runtime, precision="tf32")):
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (True, True)
    assert not torch.are_deterministic_algorithms_enabled()
    after = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, torch.get_num_threads()
    assert after == before


def test_fp16_is_refused_where_the_cpu_has_none(monkeypatch):
    trial = make_trial(runtime={"precision": "amp_fp16"})
    monkeypatch.setattr(eager, "has_fp16_kernels", lambda: False)
    (problem,) = eager.problems(trial)
    assert "this CPU has no instructions for fp16" in str(problem)
    monkeypatch.setattr(eager, "has_fp16_kernels", lambda: True)
    assert list(eager.problems(trial)) == []
    assert list(eager.problems(make_trial(runtime={"precision": "bf16"}))) == []
