"""What one trial is: the frozen description that a worker process carries out.

Standard library only, so that configuration errors answer without torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

TASKS = (
    "classification",
    "quantized",
    "segmentation",
    "detection",
    "video",
    "optical_flow",
    "simulated",
)
FILLS = ("randn", "zeros", "ones")
EVERYWHERE = ("cpu", "cuda", "xpu", "mps", "simulated")
METHODS = {  # timing method -> kinds of devices that can do it
    "naive": EVERYWHERE,
    "wall": EVERYWHERE,
    "event": ("cuda", "xpu", "simulated"),  # Apple's events are not reliable
    "queued": ("cuda", "simulated"),  # torch can keep only CUDA devices busy
    "pipelined": ("cuda", "xpu", "simulated"),
    "graph": ("cuda", "simulated"),
}
UNBROKEN = ("naive", "pipelined")  # passes follow each other without a synchronization
CACHES = ("warm", "flush", "rotate")
IN_TITLE = ("size", "batch_size", "warmup", "method")
MOST_ITERATIONS, MOST_INNER = 10_000_000, 1_000_000  # beyond, a trial takes days or all memory
MOST_THREADS, MOST_SEED = 1024, 2**63 - 1
MOST_PIXELS, MOST_IMAGES = 10**6, 10**9  # no device's memory holds nearly as many
LEVELS = ("invalid", "suspect", "note")  # of what is found about a number, the worst first
VERDICTS = ("invalid", "suspect", "valid")  # the worst first
ISOLATIONS = ("process", "none")
DEVICES = "auto, cpu, cuda, cuda:N, mps, xpu, xpu:N or simulated"
NUMBERED_DEVICES = ("cuda", "xpu")
KEY_RULE = 1  # version of the rule by which Trial.key is made
KEYED = {  # fields that a trial's key has always held
    "model": ("name", "task", "target", "weights", "kwargs"),
    "input": ("size", "batch_size", "frames", "fill"),
    "timing": ("method", "warmup", "iterations", "max_seconds", "inner", "target", "cache"),
    "runtime": ("threads", "cudnn_benchmark"),
}
# of a model, that decide which inputs it takes: no part of its identity
FACTS = ("default_size", "min_size", "max_size", "size_multiple", "size_argument", "square")
MIN_ITERATIONS_ON_A_BUDGET = 10  # fewer samples give no median worth printing


@dataclass(frozen=True)
class Model:
    """A network, by name from torchvision or by the import path of a callable.

    The fields after `kwargs` (FACTS, in pixels) decide which input sizes it can take and are no
    part of a trial's identity.
    """

    name: str
    task: str = "classification"
    target: str | None = None
    weights: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    default_size: int = 640
    min_size: int = 1
    max_size: int | None = None
    size_multiple: int = 1
    size_argument: str | None = None
    square: bool = False


@dataclass(frozen=True)
class Input:
    """The batch a forward pass gets; `size` is (height, width) in pixels."""

    size: tuple[int, int]
    batch_size: int
    frames: int
    fill: str


@dataclass(frozen=True)
class Timing:
    """How the forward pass is timed; counts are iterations, `max_seconds` a budget.

    An iteration is `inner` forward passes (None: as many as make it long enough to time).
    With a `target`, the relative half-width of the median's interval at which to stop,
    `iterations` is the most that are taken.
    """

    method: str
    warmup: int
    iterations: int
    max_seconds: float | None
    inner: int | None
    target: float | None
    cache: str


@dataclass(frozen=True)
class Runtime:
    """Settings of torch that hold during warm-up and timing alike."""

    threads: int | None
    cudnn_benchmark: bool


@dataclass(frozen=True)
class Trial:
    """One point of a sweep, with nothing left to decide (no `auto`)."""

    model: Model
    input: Input
    timing: Timing
    runtime: Runtime
    device: str
    repeat: int
    seed: int

    @property
    def key(self) -> str:
        """Identity of what is measured: a hash of its meaning, the same in every repeat.

        It is for years, so its rule (KEY_RULE) is: the fields of KEYED are always in it, one
        that is added later only where it differs from its default; of the device only its kind.
        """
        meaning: dict[str, Any] = {"device": self.device.partition(":")[0], "seed": self.seed}
        for name, keyed in KEYED.items():
            group = getattr(self, name)
            meaning[name] = {
                part.name: getattr(group, part.name)
                for part in fields(group)
                if part.name in keyed
                or (part.name not in FACTS and getattr(group, part.name) != _default(part))
            }
        canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """Name of this trial's folder inside that of its sweep."""
        kind, _, index = self.device.partition(":")
        which = [f"{kind}{index}"] if index not in ("", "0") else []
        return "-".join([self.key, *([f"r{self.repeat}"] if self.repeat else []), *which])

    @property
    def title(self) -> str:
        """The name a person reads: `resnet50 640px b1 w20 event`."""
        words = [
            self.model.target or self.model.name,
            f"{self.size_label}px",
            f"b{self.input.batch_size}",
            f"w{self.timing.warmup}",
            self.timing.method,
        ]
        return " ".join(words + ([f"r{self.repeat}"] if self.repeat else []))

    @property
    def size_label(self) -> str:
        """`640` for a square input, `480x640` (height x width) for another."""
        height, width = self.input.size
        return str(height) if height == width else f"{height}x{width}"


def _default(part: Field[Any]) -> object:
    return part.default if part.default_factory is MISSING else part.default_factory()


def varied(trials: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """For each trial, as a dictionary, the settings that differ and that its title does not name.

    By the last word of their keys: `{"cache": "flush"}`.
    """
    flat = [dict(_settings(trial)) for trial in trials]
    names = dict.fromkeys(name for settings in flat for name in settings)
    differ = [name for name in names if len({settings.get(name) for settings in flat}) > 1]
    return [{name: settings.get(name, "-") for name in differ} for settings in flat]


def _settings(trial: dict[str, Any]) -> Iterator[tuple[str, str]]:
    model = trial["model"]
    values = {"weights": model["weights"], **model["kwargs"]}
    values |= trial["input"] | trial["timing"] | trial["runtime"]
    values |= {"device": trial["device"], "seed": trial["seed"]}
    for name, value in values.items():
        if name not in IN_TITLE:
            yield name, _shown(value)


def size_of(value: object) -> tuple[int, int]:
    """(height, width) of an `input.size`: a whole number, or a list of two.

    Raises ValueError with the sentence that the user reads.
    """
    expected = "expected a whole number of pixels of at least 1, or [height, width]"
    sides = list(value) if isinstance(value, (list, tuple)) else [value, value]
    pixels = [side for side in sides if isinstance(side, int) and side is not True and side >= 1]
    if len(sides) != 2 or len(pixels) != 2:
        raise ValueError(f"input.size is {_shown(value)}; {expected}")
    return pixels[0], pixels[1]


def _shown(value: object) -> str:
    """A value as the command line spells it."""
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def problems(trial: Trial, device_known: bool = True) -> Iterator[str]:
    """Everything about `trial` that could not work, each as found, expected, what to do.

    What depends on the device is left out where that is not known.
    """
    yield from _out_of_range(trial)
    yield from _unfit_size(trial)
    if device_known:
        yield from _unfit_device(trial)


def _out_of_range(trial: Trial) -> Iterator[str]:
    for key, value, least, most in (
        ("input.batch_size", trial.input.batch_size, 1, MOST_IMAGES),
        ("input.frames", trial.input.frames, 1, MOST_IMAGES),
        ("timing.warmup", trial.timing.warmup, 0, MOST_ITERATIONS),
        ("timing.iterations", trial.timing.iterations, 1, MOST_ITERATIONS),
        ("timing.inner", trial.timing.inner, 1, MOST_INNER),
        ("runtime.threads", trial.runtime.threads, 1, MOST_THREADS),
        ("repeat", trial.repeat, 0, math.inf),
        ("seed", trial.seed, 0, MOST_SEED),
    ):
        if value is not None and value < least:
            yield f"{key} is {value}; expected a whole number of at least {least}"
        elif value is not None and value > most:
            yield f"{key} is {value}; expected a whole number of at most {most}"
    seconds = trial.timing.max_seconds
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        yield f"timing.max_seconds is {seconds}; expected seconds above 0, or null for no budget"
    target = trial.timing.target
    if target is not None and not 0 < target < 1:
        yield (
            f"timing.target is {target}; expected a share between 0 and 1, as in 0.01 for 1 %, "
            "or null for a fixed count"
        )
    for key, word, allowed in (
        ("timing.method", trial.timing.method, METHODS),
        ("timing.cache", trial.timing.cache, CACHES),
        ("input.fill", trial.input.fill, FILLS),
        ("model.task", trial.model.task, TASKS),
    ):
        if word not in allowed:
            yield f"{key} is {word}; expected one of {', '.join(allowed)}"


def _unfit_size(trial: Trial) -> Iterator[str]:
    model, (height, width) = trial.model, trial.input.size
    for side in dict.fromkeys((height, width)):
        if side > MOST_PIXELS:
            yield f"input.size is {side}; expected at most {MOST_PIXELS} pixels"
        elif side < model.min_size:
            yield f"input.size is {side}; {model.name} takes at least {model.min_size} pixels"
        elif model.max_size is not None and side > model.max_size:
            yield f"input.size is {side}; {model.name} takes at most {model.max_size} pixels"
        elif side % model.size_multiple:
            below = side // model.size_multiple * model.size_multiple
            near = [size for size in (below, below + model.size_multiple) if size >= model.min_size]
            yield (
                f"input.size is {side}; {model.name} takes multiples of {model.size_multiple}: "
                f"use {' or '.join(str(size) for size in near if size)}"
            )
    if model.square and height != width:
        yield f"input.size is [{height}, {width}]; {model.name} takes square inputs only"


def _unfit_device(trial: Trial) -> Iterator[str]:
    kind, timing = trial.device.partition(":")[0], trial.timing
    if kind not in METHODS.get(timing.method, EVERYWHERE):
        allowed = ", ".join(METHODS[timing.method])
        yield (
            f"timing.method={timing.method} needs one of the devices {allowed}, "
            f"but the device is {trial.device}; use timing.method=wall"
        )
    if timing.cache == "flush" and timing.method in UNBROKEN:
        yield (
            f"timing.cache=flush would count the flushing itself with timing.method="
            f"{timing.method}; use timing.method=wall or event, or timing.cache=rotate"
        )
    if timing.cache == "flush" and (timing.inner or 1) > 1:
        yield "timing.cache=flush empties the cache once per sample; it needs timing.inner=1"
    if timing.cache == "rotate" and timing.method == "graph":
        yield (
            "timing.cache=rotate changes the inputs, but timing.method=graph replays one; "
            "use timing.cache=flush"
        )
    if trial.model.task == "quantized" and kind != "cpu":
        yield (
            f"model={trial.model.name} is an int8 model of the CPU, "
            f"but the device is {trial.device}; use device=cpu"
        )
    if (trial.model.task == "simulated") != (kind == "simulated"):
        yield (
            f"model={trial.model.name} can't run on device={trial.device}: a simulated device "
            "takes no network, and model=simulated no other device; use both or neither"
        )


def target_problem(target: str | None, folder: Path) -> str | None:
    """Why `model.target` can't be an import path of a callable, if so."""
    if target and all(part.isidentifier() for part in target.split(".")) and "." in target:
        return None
    return (
        f"model.target is {_shown(target)}; model=custom needs the import path of a callable "
        "that returns a torch.nn.Module, as in model.target=my_package.make_net "
        f"(searched in {folder} too)"
    )
