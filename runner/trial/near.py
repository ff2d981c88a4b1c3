"""Suggestions for misspelt words, and for the terms of other tools."""

from __future__ import annotations

import difflib
from collections.abc import Collection

OTHERS_SAY = {  # terms of other tools -> ours
    **dict.fromkeys(("float16", "half", "f16"), "fp16"),
    **dict.fromkeys(("float32", "float", "f32"), "fp32"),
    **dict.fromkeys(("bfloat16", "brain"), "bf16"),
    **dict.fromkeys(("amp", "autocast"), "amp_bf16"),
    **dict.fromkeys(("gpu", "nvidia", "rocm", "hip"), "cuda"),
    **dict.fromkeys(("metal", "apple"), "mps"),
    **dict.fromkeys(("random", "rand", "normal", "gaussian"), "randn"),
    **dict.fromkeys(("on", "true", "inductor", "torch"), "default"),
    **dict.fromkeys(("time", "time.time"), "naive"),
    **dict.fromkeys(("events", "cuda_event"), "event"),
    **dict.fromkeys(("cudagraph", "cuda_graph", "cudagraphs"), "graph"),
    **dict.fromkeys(("ort", "onnx"), "onnxruntime"),
    **dict.fromkeys(("ov",), "openvino"),
    **dict.fromkeys(("trt", "torch_tensorrt"), "tensorrt"),
    **dict.fromkeys(("pytorch",), "eager"),
}


def near(word: str, choices: Collection[str]) -> str:
    """`did you mean fp16? ` for `float16`; empty if no choice is similar."""
    lower = word.lower()
    meant = OTHERS_SAY.get(lower)
    if meant not in choices:
        names = {name.lower(): name for name in choices}
        ends = [name for name in choices if name.rpartition(".")[2] == lower]
        holds = [name for name in choices if lower in name.lower()] if len(lower) > 2 else []
        like = [names[one] for one in difflib.get_close_matches(lower, names, n=1, cutoff=0.7)]
        meant = next(iter([*ends, *holds, *like]), None)
    return "" if meant is None else f"did you mean {meant}? "


def expected(word: str, choices: Collection[str]) -> str:
    """The remedy for a word that is not among the choices."""
    return f"{near(word, choices)}expected one of {', '.join(choices)}"
