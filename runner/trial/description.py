"""The frozen description of one trial, which a worker process carries out.

Standard library only, so that configuration errors need no torch. The types here are
for reading records of any age; the rules for new trials are in runner/trial/rules.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

KEY_RULE = 1  # version of the rule by which Trial.key is made
KEYED = {  # fields that have always been part of a trial's key
    "model": ("name", "task", "target", "weights", "kwargs"),
    "input": ("size", "batch_size", "frames", "fill"),
    "timing": ("method", "warmup", "iterations", "max_seconds", "inner", "target", "cache"),
    "runtime": ("threads", "cudnn_benchmark"),
}
# fields of a model that decide which inputs it takes: not part of its identity
FACTS = ("default_size", "min_size", "max_size", "size_multiple", "size_argument", "square")
UNKEYED = (*FACTS, "timeout_s")
# values of these fields in the first trials, which did not have them
BEFORE = {"timing": {"inner": 1, "target": None, "cache": "warm"}}

Count = Annotated[int, Ge(0)]
FromOne = Annotated[int, Ge(1)]


class _Group:
    """A part of a trial; a record with an unknown field can't be read."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}


@dataclass(frozen=True)
class Model(_Group):
    """A network: by name from torchvision, by the import path of a callable, or from a file.

    `source` names any other source (SOURCES in runner/trial/rules.py) of a `file`; `inputs`
    is the import path of a callable that creates its inputs. The fields of FACTS, in
    pixels, decide which input sizes it can take and are no part of a trial's identity; a
    default_size of None is the network's own, which only its source knows.
    """

    name: str
    task: str = "classification"
    target: str | None = None
    weights: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    default_size: int | None = 640
    min_size: int = 1
    max_size: int | None = None
    size_multiple: int = 1
    size_argument: str | None = None
    square: bool = False
    source: str | None = None
    inputs: str | None = None
    file: str | None = None

    @property
    def source_name(self) -> str:
        """The source of the network: torchvision, or custom if there is a target."""
        return self.source or ("custom" if self.target else "torchvision")

    @property
    def label(self) -> str:
        """Its readable name: that of the user's YAML file, else its import path or file."""
        if (self.target or self.file) and self.name != self.source_name:
            return self.name
        own = f"{self.source}/{self.name}" if self.source else self.name
        return self.target or self.file or own


@dataclass(frozen=True)
class Input(_Group):
    """The input batch of a forward pass; `size` is (height, width) in pixels.

    None while only the model's source knows the size, before the sweep is planned.
    """

    size: tuple[FromOne, FromOne] | None
    batch_size: FromOne
    frames: FromOne
    fill: str

    @property
    def pixels(self) -> tuple[int, int]:
        """(height, width), once that is known."""
        assert self.size is not None, "the size of an input is unknown before planning"
        return self.size

    @property
    def size_label(self) -> str:
        """`640` for a square input, `480x640` (height x width) for another."""
        return "?" if self.size is None else size_label(self.size)


@dataclass(frozen=True)
class Timing(_Group):
    """How the forward pass is timed; counts are iterations, `max_seconds` a budget.

    An iteration is `inner` forward passes (None: as many as make it long enough to time).
    With a `target`, the relative half-width of the median's interval at which to stop,
    `iterations` is the maximum. A process that has not answered after `timeout_s` is
    killed; this is not part of a trial's identity.
    """

    method: str
    warmup: Count
    iterations: Count
    max_seconds: float | None
    inner: FromOne | None
    target: float | None
    cache: str
    timeout_s: float | None = None


@dataclass(frozen=True)
class Runtime(_Group):
    """Settings of torch for warm-up and timing."""

    threads: int | None
    cudnn_benchmark: bool
    precision: str = "fp32"
    channels_last: bool = False
    compile: str = "off"
    compile_cache: str = "warm"
    deterministic: bool = False
    interop_threads: int | None = None


@dataclass(frozen=True)
class Engine(_Group):
    """The engine that runs the network; `providers` are ONNX Runtime's, by preference."""

    name: str = "eager"
    providers: list[str] | None = None


@dataclass(frozen=True)
class Pipeline(_Group):
    """What one pass consists of: the forward pass alone, or with `e2e` a whole request.

    That decodes JPEGs (those of the folder `images`, or made at the input's size), applies
    `transforms` (of the weights, or as v2) on the CPU or the device, copies to the device (from
    `pinned` memory), and brings the output back and evaluates it. `workers` threads decode and
    transform; with `overlap` the next batch, while this one is in the network.
    """

    name: str = "forward"
    images: str | None = None
    decoder: str = "pil"
    transforms: str = "weights"
    transforms_on: str = "cpu"
    pinned: bool = False
    workers: Count = 0
    overlap: bool = False


@dataclass(frozen=True)
class Load(_Group):
    """How queries arrive: `none` times single passes; a query is a batch of the input.

    `single_stream` sends the next when the last is answered, `offline` all at once, `server` at
    `rate` a second on average, with `arrivals` poisson or constant. Up to `max_batch` queries are
    answered together by one of `instances`, the first of them having waited for others for at
    most `max_wait_ms`. With `target_ms`, the limit of the latency's `percentile`, there are only
    as many of the `queries` as its decision needs.
    """

    name: str = "none"
    rate: float | None = None
    queries: FromOne = 1000
    target_ms: float | None = None
    percentile: float = 99.0
    arrivals: str = "poisson"
    max_batch: FromOne = 1
    max_wait_ms: float = 0.0
    instances: FromOne = 1


@dataclass(frozen=True)
class Trial(_Group):
    """One trial, completely specified (no `auto`)."""

    model: Model
    input: Input
    timing: Timing
    runtime: Runtime
    device: str
    repeat: Count
    seed: int
    engine: Engine = Engine()
    pipeline: Pipeline = Pipeline()
    load: Load = Load()

    def values(self) -> dict[str, Any]:
        """The trial as plain JSON values, tuples as lists."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

    @property
    def device_kind(self) -> str:
        """The device without its number: `cuda` for `cuda:1`."""
        return self.device.partition(":")[0]

    @cached_property
    def key(self) -> str:
        """The identity of what is measured: a hash that is the same in every repeat."""
        return _hash(self.meaning)

    def key_without(self, *names: str) -> str:
        """The identity without some dotted keys, or groups of them."""
        meaning = self.meaning
        for name in names:
            group, _, key = name.partition(".")
            if not key:
                meaning.pop(group, None)
            elif group in meaning:
                meaning[group].pop(key, None)
        return _hash(meaning)

    @property
    def meaning(self) -> dict[str, Any]:
        """The fields that identify what is measured, by the rule KEY_RULE, which must stay stable.

        The fields of KEYED are always included, later ones only if they differ from
        their default; of the device only its kind.
        """
        meaning: dict[str, Any] = {"device": self.device_kind, "seed": self.seed}
        for name, keyed in KEYED.items():
            group = getattr(self, name)
            meaning[name] = {
                part.name: getattr(group, part.name)
                for part in fields(group)
                if part.name in keyed
                or (part.name not in UNKEYED and getattr(group, part.name) != _default(part))
            }
        # groups of later programs: what differs from the only engine, pass and load at first
        for name, group in (("engine", Engine()), ("pipeline", Pipeline()), ("load", Load())):
            plain, own = vars(group), vars(getattr(self, name))
            if changed := {key: value for key, value in own.items() if value != plain[key]}:
                meaning[name] = changed
        return meaning

    @property
    def fp32_baseline(self) -> Trial:
        """The same trial in eager fp32, the baseline of precision, layout and engines."""
        as_it_comes = Runtime(self.runtime.threads, self.runtime.cudnn_benchmark)
        return replace(self, runtime=as_it_comes, engine=Engine())

    @property
    def is_e2e(self) -> bool:
        """Whether a pass is a whole request, from JPEGs to its answer."""
        return self.pipeline.name == "e2e"

    @property
    def is_load(self) -> bool:
        """Whether queries arrive, instead of passes that are timed one by one."""
        return self.load.name != "none"

    @property
    def samples(self) -> int:
        """The largest number of timed samples."""
        return self.load.queries if self.is_load else self.timing.iterations

    @property
    def identity(self) -> str:
        """The identity that all processes of a trial on a device share: the folder of the first."""
        return folder_of(self.key, self.device)

    @property
    def folder(self) -> str:
        """The name of this trial's folder inside that of its sweep."""
        return folder_of(self.key, self.device, self.repeat)

    @property
    def title(self) -> str:
        """The readable title: `resnet50 640px b1 w20 event`."""
        words = [
            self.model.label,
            f"{self.input.size_label}px",
            f"b{self.input.batch_size}",
            f"w{self.timing.warmup}",
            self.served if self.is_load else self.timing.method,
            *(["e2e"] if self.is_e2e else []),
        ]
        return " ".join(words + ([f"r{self.repeat}"] if self.repeat else []))

    @property
    def served(self) -> str:
        """The load by its rate, else by its name: `20/s`, `offline`, `none`."""
        return self.load.name if self.load.rate is None else f"{self.load.rate:.4g}/s"


def folder_of(key: str, device: str, repeat: int = 0) -> str:
    """The folder of a trial's process, from its key, which includes the secrets."""
    kind, _, index = device.partition(":")
    which = [f"{kind}{index}"] if index not in ("", "0") else []
    return "-".join([key, *([f"r{repeat}"] if repeat else []), *which])


def _hash(meaning: Mapping[str, Any]) -> str:
    canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def size_label(size: Sequence[int]) -> str:
    """`640` for a square, `480x640` (height x width) for another."""
    height, width = size
    return str(height) if height == width else f"{height}x{width}"


def _default(part: Field[Any]) -> object:
    return part.default if part.default_factory is MISSING else part.default_factory()
