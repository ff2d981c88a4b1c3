"""The rules for trials: each yields problems with what was found and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from runner.contract import Problem
from runner.trial.description import Runtime, Trial
from runner.trial.methods import METHODS
from runner.trial.near import expected
from runner.trial.service_rules import (
    ARRIVALS,
    DECODERS,
    LOADS,
    PIPELINES,
    PLACES,
    TRANSFORMS,
    service_problems,
)
from runner.trial.titles import shown

TASKS = (
    "classification",
    "quantized",
    "segmentation",
    "detection",
    "video",
    "optical_flow",
    "simulated",
)
SOURCES = (
    "torchvision",
    "custom",
    "timm",
    "torchscript",
    "exported",
    "onnx",
    "engine",
)  # each is a module of runner/models/
ENGINES = ("eager", "onnxruntime", "openvino", "tensorrt")
PROVIDERS = {  # word of engine.providers -> ONNX Runtime's name
    "CPU": "CPUExecutionProvider",
    "CUDA": "CUDAExecutionProvider",
    "TensorRT": "TensorrtExecutionProvider",
}
FILLS = ("randn", "zeros", "ones")
CACHES = ("warm", "flush", "rotate")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "amp_bf16", "amp_fp16")
COMPILE_MODES = ("off", "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
COMPILE_CACHES = ("warm", "cold")
MAX_ITERATIONS, MAX_INNER = 10_000_000, 1_000_000  # more takes days or all memory
MAX_THREADS, MAX_SEED = 1024, 2**63 - 1
MAX_PIXELS, MAX_IMAGES = 10**6, 10**9  # far beyond any device's memory


ON_STREAM = ["event", "queued", "pipelined"]  # methods for work queued like torch's own
PLAIN = Runtime(threads=None, cudnn_benchmark=False)
SIMULATED_HAS_NO = ("precision", "channels_last", "compile", "deterministic")


def size_of(value: object) -> tuple[int, int] | Problem:
    """(height, width) of an `input.size`: a whole number, or a list of two."""
    sides = list(value) if isinstance(value, (list, tuple)) else [value, value]
    pixels = [side for side in sides if isinstance(side, int) and side is not True and side >= 1]
    if len(sides) != 2 or len(pixels) != 2:
        return Problem(
            "input.size",
            f"input.size is {shown(value)}",
            "expected a whole number of pixels of at least 1, or [height, width]",
        )
    return pixels[0], pixels[1]


def problems(trial: Trial, device_known: bool = True) -> Iterator[Problem]:
    """All problems of `trial`.

    Rules that depend on the device are skipped if that is unknown.
    """
    yield from _out_of_range(trial)
    yield from _unknown_words(trial)
    yield from _unfit_size(trial)
    yield from service_problems(trial, device_known)
    if device_known:
        yield from _unfit_method(trial)
        yield from _unfit_model(trial)
        yield from _unfit_runtime(trial)
        yield from _unfit_engine(trial)


def _out_of_range(trial: Trial) -> Iterator[Problem]:
    for key, value, least, most in (
        ("input.batch_size", trial.input.batch_size, 1, MAX_IMAGES),
        ("input.frames", trial.input.frames, 1, MAX_IMAGES),
        ("timing.warmup", trial.timing.warmup, 0, MAX_ITERATIONS),
        ("timing.iterations", trial.timing.iterations, 1, MAX_ITERATIONS),
        ("timing.inner", trial.timing.inner, 1, MAX_INNER),
        ("runtime.threads", trial.runtime.threads, 1, MAX_THREADS),
        ("runtime.interop_threads", trial.runtime.interop_threads, 1, MAX_THREADS),
        ("repeat", trial.repeat, 0, math.inf),
        ("seed", trial.seed, 0, MAX_SEED),
    ):
        if value is None or least <= value <= most:
            continue
        bound = f"least {least}" if value < least else f"most {most}"
        yield Problem(key, f"{key} is {value}", f"expected a whole number of at {bound}")
    for name, what in (("max_seconds", "budget"), ("timeout_s", "limit")):
        seconds = getattr(trial.timing, name)
        if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
            remedy = f"expected seconds above 0, or null for no {what}"
            yield Problem(f"timing.{name}", f"timing.{name} is {seconds}", remedy)
    target = trial.timing.target
    if target is not None and not 0 < target < 1:
        yield Problem(
            "timing.target",
            f"timing.target is {target}",
            "expected a share between 0 and 1, as in 0.01 for 1 %, or null for a fixed count",
        )


def _unknown_words(trial: Trial) -> Iterator[Problem]:
    for key, word, allowed in (
        ("timing.method", trial.timing.method, METHODS),
        ("timing.cache", trial.timing.cache, CACHES),
        ("input.fill", trial.input.fill, FILLS),
        ("runtime.precision", trial.runtime.precision, PRECISIONS),
        ("runtime.compile", trial.runtime.compile, COMPILE_MODES),
        ("runtime.compile_cache", trial.runtime.compile_cache, COMPILE_CACHES),
        ("model.task", trial.model.task, TASKS),
        ("model.source", trial.model.source_name, SOURCES),
        ("engine.name", trial.engine.name, ENGINES),
        ("pipeline.name", trial.pipeline.name, PIPELINES),
        ("pipeline.decoder", trial.pipeline.decoder, DECODERS),
        ("pipeline.transforms", trial.pipeline.transforms, TRANSFORMS),
        ("pipeline.transforms_on", trial.pipeline.transforms_on, PLACES),
        ("load.name", trial.load.name, LOADS),
        ("load.arrivals", trial.load.arrivals, ARRIVALS),
    ):
        if word not in allowed:
            yield Problem(key, f"{key} is {word}", expected(word, allowed))


def _unfit_size(trial: Trial) -> Iterator[Problem]:
    if trial.input.size is None:
        return  # the model's own size will be used
    model, (height, width) = trial.model, trial.input.size
    for side in dict.fromkeys((height, width)):
        found = f"input.size is {side}"
        if side > MAX_PIXELS:
            yield Problem("input.size", found, f"expected at most {MAX_PIXELS} pixels")
        elif side < model.min_size:
            remedy = f"{model.name} takes at least {model.min_size} pixels"
            yield Problem("input.size", found, remedy)
        elif model.max_size is not None and side > model.max_size:
            remedy = f"{model.name} takes at most {model.max_size} pixels"
            yield Problem("input.size", found, remedy)
        elif side % model.size_multiple:
            below = side // model.size_multiple * model.size_multiple
            near = [size for size in (below, below + model.size_multiple) if size >= model.min_size]
            yield Problem(
                "input.size",
                found,
                f"{model.name} takes multiples of {model.size_multiple}: "
                f"use {' or '.join(str(size) for size in near if size)}",
            )
    if model.square and height != width:
        found = f"input.size is [{height}, {width}]"
        yield Problem("input.size", found, f"{model.name} takes square inputs only")


def _unfit_method(trial: Trial) -> Iterator[Problem]:
    timing, method = trial.timing, METHODS.get(trial.timing.method)
    if method is None:
        return  # reported as an unknown word
    if trial.device_kind not in method.devices:
        yield Problem(
            "timing.method",
            f"timing.method={timing.method} needs one of the devices {', '.join(method.devices)}, "
            f"but the device is {trial.device}",
            "use timing.method=wall",
        )
    if timing.cache == "flush" and method.unbroken:
        yield Problem(
            "timing.cache",
            "timing.cache=flush would count the flushing itself with "
            f"timing.method={timing.method}",
            "use timing.method=wall or event, or timing.cache=rotate",
        )
    if timing.cache == "flush" and (timing.inner or 1) > 1:
        yield Problem(
            "timing.cache",
            "timing.cache=flush empties the cache once per sample",
            "it needs timing.inner=1",
        )
    if timing.cache == "rotate" and method.same_inputs:
        yield Problem(
            "timing.cache",
            f"timing.cache=rotate changes the inputs, but timing.method={timing.method} replays "
            "one",
            "use timing.cache=flush",
        )


def _unfit_model(trial: Trial) -> Iterator[Problem]:
    if trial.model.task == "quantized" and trial.device_kind != "cpu":
        yield Problem(
            "model",
            f"model={trial.model.name} is an int8 model for the CPU, "
            f"but the device is {trial.device}",
            "use device=cpu",
        )
    if (trial.model.task == "simulated") != (trial.device_kind == "simulated"):
        yield Problem(
            "model",
            f"model={trial.model.name} can't run on device={trial.device}: a simulated device "
            "takes no network, and model=simulated runs on no other device",
            "use both or neither",
        )


def _unfit_engine(trial: Trial) -> Iterator[Problem]:
    engine, runtime = trial.engine, trial.runtime
    if engine.name == "eager":
        if engine.providers:
            found = f"engine.providers is {engine.providers}, but engine is eager"
            yield Problem(
                "engine.providers", found, "providers are only valid with engine=onnxruntime"
            )
        return
    asked = f"engine={engine.name}"
    if engine.name != "onnxruntime" and engine.providers:
        found = f"engine.providers is {engine.providers}, but {asked}"
        yield Problem("engine.providers", found, "providers are only valid with engine=onnxruntime")
    for name in ("compile", "channels_last", "cudnn_benchmark"):
        if getattr(runtime, name) != getattr(PLAIN, name):
            given = shown(getattr(runtime, name))
            found = f"runtime.{name}={given} is torch's, but {asked}"
            yield Problem(f"runtime.{name}", found, f"use engine=eager, or omit runtime.{name}")
    if runtime.precision.startswith("amp_"):
        found = f"runtime.precision={runtime.precision} is torch's autocast, but {asked}"
        yield Problem("runtime.precision", found, f"use {runtime.precision.removeprefix('amp_')}")
    if trial.model.task == "quantized":
        found = f"{asked} does not take torchvision's int8 models"
        yield Problem("engine", found, "use engine=eager")
    if engine.name == "tensorrt" and trial.device_kind != "cuda":
        found = f"{asked} needs an NVIDIA GPU, but the device is {trial.device}"
        yield Problem("engine", found, "use device=cuda, or engine=onnxruntime")
    method, allowed = METHODS.get(trial.timing.method), ["wall", "naive"]
    if engine.name == "onnxruntime" and (engine.providers or ["CUDA"])[0] == "CUDA":
        allowed += ON_STREAM if trial.device_kind == "cuda" else []
    elif engine.name == "tensorrt":
        allowed += ON_STREAM
    if method is not None and trial.timing.method not in allowed:
        found = f"timing.method={trial.timing.method} needs torch's stream, but {asked}"
        yield Problem("timing.method", found, f"use timing.method={' or '.join(allowed)}")


def _unfit_runtime(trial: Trial) -> Iterator[Problem]:
    runtime, kind = trial.runtime, trial.device_kind
    precision = f"runtime.precision={runtime.precision}"
    if runtime.precision == "tf32" and kind != "cuda":
        found = f"{precision} is a mode of NVIDIA's tensor cores, but the device is {trial.device}"
        yield Problem("runtime.precision", found, "use fp32, or bf16 where the CPU has it")
    if runtime.precision == "amp_fp16" and kind == "mps":
        yield Problem("runtime.precision", f"{precision} is not available on {kind}", "use fp16")
    if trial.model.task == "quantized" and runtime.precision != "fp32":
        found = f"{precision}, but model={trial.model.name} computes in int8"
        yield Problem("runtime.precision", found, "use fp32, in which its other parts compute")
    if trial.model.task == "quantized" and runtime.compile != "off":
        found = (
            f"runtime.compile={runtime.compile}, but model={trial.model.name} is a "
            "TorchScript module"
        )
        yield Problem("runtime.compile", found, "use runtime.compile=off")
    if runtime.compile != "off" and trial.timing.method == "graph":
        found = (
            f"timing.method=graph with runtime.compile={runtime.compile}, which may capture "
            "a CUDA graph itself"
        )
        yield Problem("timing.method", found, "use timing.method=event or queued")
    changed = [name for name in SIMULATED_HAS_NO if getattr(runtime, name) != getattr(PLAIN, name)]
    if trial.model.task == "simulated" and changed:
        found = f"runtime.{changed[0]} is set, but a simulated device computes nothing"
        yield Problem(f"runtime.{changed[0]}", found, "omit it")


def missing_package(key: str, asked: str, extra: str) -> Problem:
    """The problem of a missing package, which is an extra of runner."""
    return Problem(
        key, f"{asked} needs a package that is not installed", f"pip install -e '.[{extra}]'"
    )


def target_problem(target: str | None, folder: Path) -> Problem | None:
    """The problem of a `model.target` that can't be an import path of a callable."""
    if target and all(part.isidentifier() for part in target.split(".")) and "." in target:
        return None
    if target and target.count(":") == 1:
        meant = f"did you mean model.target={target.replace(':', '.')}?"
        return Problem("model.target", f"model.target is {target}", meant)
    return Problem(
        "model.target",
        f"model.target is {shown(target)}",
        "model=custom needs the import path of a callable that returns a torch.nn.Module, as in "
        f"model.target=my_package.make_net (searched in {folder} too)",
    )
