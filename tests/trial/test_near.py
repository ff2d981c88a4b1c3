"""What was probably meant."""

from __future__ import annotations

import pytest

from runner.trial.near import expected, near
from runner.trial.rules import COMPILE_MODES, ENGINES, FILLS, PRECISIONS


@pytest.mark.parametrize(
    ("word", "choices", "meant"),
    [
        ("float16", PRECISIONS, "fp16"),
        ("FP16", PRECISIONS, "fp16"),
        ("bfloat16", PRECISIONS, "bf16"),
        ("gpu", ("cpu", "cuda"), "cuda"),
        ("lastest", ("latest", "night"), "latest"),
        ("mien", ("mine", "conf"), "mine"),
        ("rand", FILLS, "randn"),
        ("on", COMPILE_MODES, "default"),
        ("onnx", ENGINES, "onnxruntime"),
        ("batch", ("torch", "input.batch_size"), "input.batch_size"),
        ("size", ("input.size", "input.batch_size"), "input.size"),
    ],
)
def test_a_word_of_others_or_one_that_is_like_it(word, choices, meant):
    assert near(word, choices) == f"did you mean {meant}? "
    assert expected(word, choices).endswith(f"expected one of {', '.join(choices)}")


@pytest.mark.parametrize("word", ["", "zzz", "q8"])
def test_nothing_like_it_is_no_guess(word):
    assert near(word, PRECISIONS) == ""
