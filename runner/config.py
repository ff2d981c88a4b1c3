"""The schema behind conf/, and the way from a composed configuration to a Trial.

Hydra types every YAML line and override against `Config`. What it lets through
all the same (unknown keys with a leading `+`, deleted keys, values out of range)
is refused here, in sentences a user can act on.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf import MISSING, DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from runner.devices import Devices, resolve_device, resolve_method
from runner.measure.simulated import SimulatedDevice
from runner.trial import (
    EVERYWHERE,
    ISOLATIONS,
    Input,
    Model,
    Runtime,
    Timing,
    Trial,
    problems,
    size_of,
    target_problem,
)

GLOBAL = "# @package _global_"
LONGEST_ID, RESERVED_IDS = 128, ("mlartifacts", "mlflow.db")
TRACKING_KINDS = ("sqlite", "server", "off")
TRACKING_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")

_packaged = Path(__file__).parent / "conf"
CONF_DIR = str(_packaged if _packaged.is_dir() else Path(__file__).parents[1] / "conf")
"""Absolute: inside the wheel, or beside the package in a checkout."""


class UsageError(Exception):
    """What the user asked for can't be done; carries one sentence per problem."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = tuple(dict.fromkeys(sentences))


@dataclass(frozen=True)
class InputConfig:
    """The keys input.*; `size` is a whole number or a list of two, in pixels."""

    size: Any = MISSING
    batch_size: int = MISSING
    frames: int = MISSING
    fill: str = MISSING


@dataclass(frozen=True)
class TrackingConfig:
    """The keys tracking.*: where the MLflow runs go."""

    kind: str = MISSING
    uri: str | None = None
    experiment: str = MISSING


@dataclass(frozen=True)
class SweepConfig:
    """The keys sweep.*: the sweep's name, its processes per trial and their order."""

    id: str = MISSING
    name: str | None = None
    repeats: int = MISSING
    order_seed: int | None = None


@dataclass(frozen=True)
class ModelConfig(Model):
    """The keys model.*."""

    name: str = MISSING


@dataclass(frozen=True)
class TimingConfig(Timing):
    """The keys timing.*."""

    method: str = MISSING
    warmup: int = MISSING
    iterations: int = MISSING
    max_seconds: float | None = None
    inner: int | None = None
    target: float | None = None
    cache: str = MISSING


@dataclass(frozen=True)
class RuntimeConfig(Runtime):
    """The keys runtime.*."""

    threads: int | None = None
    cudnn_benchmark: bool = MISSING


@dataclass(frozen=True)
class Config:
    """Every key of the command line, typed. conf/config.yaml gives and explains the values."""

    model: ModelConfig = field(default_factory=ModelConfig)
    input: InputConfig = field(default_factory=InputConfig)
    timing: TimingConfig = field(default_factory=TimingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    device: str = MISSING
    repeat: int = MISSING
    seed: int = MISSING
    isolation: str = MISSING
    dry_run: bool = MISSING
    output_dir: str = MISSING


@dataclass(frozen=True)
class SweeperConfig:
    """What Hydra makes the sweeper from; conf/sweep/*.yaml fill `params`, key: "value,value"."""

    _target_: str = "hydra_plugins.runner_sweeper.RunnerSweeper"
    params: dict[str, str] = field(default_factory=dict)


def register_schema() -> None:
    """Make both schemas known to Hydra under the names that conf/config.yaml's defaults use."""
    store = ConfigStore.instance()
    store.store(name="schema", node=_writable(Config))
    store.store(group="hydra/sweeper", name="runner", node=_writable(SweeperConfig))


def _writable(schema: type) -> DictConfig:
    """Frozen dataclasses come read-only, which would refuse the first YAML merged into them."""
    config: DictConfig = OmegaConf.structured(schema)
    for node in (config, *(config._get_node(name) for name in config)):
        if isinstance(node, DictConfig):
            OmegaConf.set_readonly(node, None)
            for name in node:
                if isinstance(inner := node._get_node(name), DictConfig) and not is_dataclass(
                    OmegaConf.get_type(inner)
                ):
                    OmegaConf.set_struct(inner, False)  # a dictionary takes any key
    return config


def trial_of(cfg: DictConfig, devices: Devices, folder: Path) -> Trial:
    """The Trial that a composed configuration describes, checked.

    `folder` is where a user's own modules are looked for.
    Raises UsageError with every problem found.
    """
    if missing := list(_missing_keys(cfg)) or list(_unresolved(cfg)):
        raise UsageError(*missing)
    found = list(_unknown_keys(cfg, Config))
    if cfg.isolation not in ISOLATIONS:
        found.append(f"isolation is {cfg.isolation}; expected one of {', '.join(ISOLATIONS)}")
    found += _model_problems(cfg.model, folder)
    found += _tracking_problems(cfg.tracking)
    if not str(cfg.output_dir).strip():
        found.append("output_dir is empty; expected a folder, as in output_dir=outputs")
    found += _sweep_problems(cfg.sweep)
    size, device, device_known = (1, 1), cfg.device, True
    try:
        size = size_of(_plain(cfg.input.size))
    except ValueError as error:
        found.append(str(error))
    try:
        # int8 kernels are the CPU's
        only = {"quantized": "cpu", "simulated": "simulated"}.get(cfg.model.task, "auto")
        device = resolve_device(only if cfg.device == "auto" else cfg.device, devices)
    except ValueError as error:
        found.append(str(error))
        device_known = device.partition(":")[0] in EVERYWHERE
    trial = Trial(
        model=Model(**_values(cfg.model, Model)),
        input=Input(**_values(cfg.input, Input) | {"size": size}),
        timing=Timing(
            **_values(cfg.timing, Timing) | {"method": resolve_method(cfg.timing.method, device)}
        ),
        runtime=Runtime(**_values(cfg.runtime, Runtime)),
        device=device,
        repeat=cfg.repeat,
        seed=cfg.seed,
    )
    known = {sentence.partition(" ")[0] for sentence in found}
    found += [text for text in problems(trial, device_known) if text.partition(" ")[0] not in known]
    if found:
        raise UsageError(*found)
    return trial


def _unresolved(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Values that refer to what is not there, as a variable that is not set."""
    for key in map(str, cfg):
        if key == "hydra" and not prefix:
            continue
        try:
            value = cfg[key]
        except OmegaConfBaseException as error:
            node = cfg._get_node(key)
            given = node._value() if isinstance(node, Node) else "?"
            yield f"{prefix}{key} is {given}, which has no value: {_first_line(str(error))}"
            continue
        if isinstance(value, DictConfig):
            yield from _unresolved(value, f"{prefix}{key}.")


def _sweep_problems(sweep: DictConfig) -> Iterator[str]:
    name = str(sweep.id)
    if not re.fullmatch(r"\w[\w.-]*", name) or len(name) > LONGEST_ID:
        shown = name if len(name) <= LONGEST_ID else f"{name[:20]}... ({len(name)} characters)"
        yield (
            f"sweep.id is {shown!r}; expected letters, digits, '_', '-' and '.', at most "
            f"{LONGEST_ID}, as it names a folder"
        )
    if name in RESERVED_IDS:
        yield f"sweep.id is {name}, which is MLflow's own below output_dir; give another"
    if sweep.repeats < 1:
        yield f"sweep.repeats is {sweep.repeats}; expected a whole number of at least 1"


def _model_problems(model: DictConfig, folder: Path) -> Iterator[str]:
    named = (Path(CONF_DIR) / "model" / f"{model.name}.yaml").is_file() and model.name != "custom"
    if named and model.target is not None:
        yield f"model.target goes with model=custom, but model is {model.name}"
    elif not named and model.target is None and model.name != "custom":
        yield f"model.name is {model.name}, which is no model; choose one by model=NAME"
    elif not named and (problem := target_problem(model.target, folder)):
        yield problem
    try:
        json.dumps(_plain(model.kwargs), allow_nan=False)
    except ValueError:
        yield f"model.kwargs are {_plain(model.kwargs)}; expected finite numbers only"
    if model.task == "simulated":
        try:
            SimulatedDevice(**_plain(model.kwargs))
        except (TypeError, ValueError) as error:
            costs = ", ".join(inspect.signature(SimulatedDevice).parameters)
            yield f"model.kwargs describe no simulated device ({error}); it takes {costs}"
        if model.weights is not None:
            yield "model.weights is set, but a simulated device has none; leave it out"
    if not named and model.weights is not None:
        yield "model.weights goes with torchvision's models; load yours in model.target"


def _tracking_problems(tracking: DictConfig) -> Iterator[str]:
    if tracking.kind not in TRACKING_KINDS:
        yield f"tracking.kind is {tracking.kind}; expected one of {', '.join(TRACKING_KINDS)}"
    if tracking.kind == "server" and not tracking.uri:
        yield (
            "tracking=server needs tracking.uri, as in tracking.uri=http://127.0.0.1:5000 "
            "(or the variable MLFLOW_TRACKING_URI)"
        )
    scheme = str(tracking.uri or "").partition(":")[0].partition("+")[0]
    if tracking.uri and scheme not in TRACKING_SCHEMES:
        yield (
            f"tracking.uri begins with {scheme!r}; expected one of "
            f"{', '.join(f'{name}:' for name in TRACKING_SCHEMES)}"
        )
    if not tracking.experiment.strip():
        yield "tracking.experiment is empty; expected a name, as in tracking.experiment=runner"


def _plain(value: Any) -> Any:
    is_config = isinstance(value, (DictConfig, ListConfig))
    return OmegaConf.to_container(value, resolve=True) if is_config else value


def _values(node: DictConfig, schema: type) -> dict[str, Any]:
    """The node's values for the fields of a dataclass; unknown keys are reported elsewhere."""
    return {part.name: _plain(node[part.name]) for part in fields(schema)}


def _unknown_keys(cfg: DictConfig, schema: type, prefix: str = "") -> Iterator[str]:
    types = get_type_hints(schema)
    for key in map(str, cfg):
        if key == "hydra" and not prefix:
            continue  # Hydra's own, typed by Hydra
        if key not in types:
            yield _unknown(f"{prefix}{key}", prefix, list(types))
        elif is_dataclass(types[key]) and isinstance(cfg._get_node(key), DictConfig):
            yield from _unknown_keys(cfg[key], types[key], f"{prefix}{key}.")


def _missing_keys(cfg: DictConfig) -> Iterator[str]:
    for part in fields(Config):
        if part.name not in cfg:
            yield f"{part.name} was deleted from the configuration; leave it in"
        elif is_dataclass(hint := get_type_hints(Config)[part.name]):
            for name in (inner.name for inner in fields(hint)):
                key = f"{part.name}.{name}"
                if name not in cfg[part.name]:
                    yield f"{key} was deleted from the configuration; leave it in"
                elif OmegaConf.is_missing(cfg[part.name], name):
                    yield f"{key} has no value; give one, as in {key}=VALUE"


def _unknown(key: str, prefix: str, allowed: list[str]) -> str:
    leaf = key.rpartition(".")[2]
    near = _keys_named(leaf)  # in whatever group, before what only looks like it
    near = near or [f"{prefix}{name}" for name in difflib.get_close_matches(leaf, allowed, n=1)]
    near = near or _keys_named(leaf, nearly=True)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    where = f"{prefix.rstrip('.')} has" if prefix else "the keys are"
    return f"{key} is not a key{hint} ({where}: {', '.join(allowed)})"


def _keys_named(leaf: str, *, nearly: bool = False) -> list[str]:
    """Dotted keys, of any group, whose last word is `leaf`, or nearly so."""
    keys: dict[str, list[str]] = {}
    for group, hint in get_type_hints(Config).items():
        for part in fields(hint) if is_dataclass(hint) else ():
            keys.setdefault(part.name, []).append(f"{group}.{part.name}")
    nearest = difflib.get_close_matches(leaf, keys, n=1, cutoff=0.75 if nearly else 1.0)
    return [key for name in nearest for key in keys[name]]


def explain(error: Exception, override: str, folders: Sequence[Path] = ()) -> str:
    """One sentence for what Hydra or OmegaConf has against `override`.

    `folders` hold the files that it may have chosen.
    """
    name, _, value = override.lstrip("+~").partition("=")
    chosen = (folder / name / f"{value}.yaml" for folder in folders)
    if (path := next(filter(Path.is_file, chosen), None)) is not None:
        return f"{override} can't be used: {_fault(error, name, path)}"
    if not isinstance(error, (ConfigCompositionException, OmegaConfBaseException)):
        if (Path(CONF_DIR) / "model" / f"{override}.yaml").is_file():
            return f"{override!r} is no key=value; did you mean model={override}?"
        reason = str(error).partition("\nSee ")[0].strip().splitlines()[-1]
        return (
            f"{override!r} can't be read ({reason}); expected key=value, "
            "with quotes around special characters, as in 'key=\"a b\"'"
        )
    if isinstance(error, MissingConfigException) and error.options is not None:
        near = difflib.get_close_matches(value, error.options, n=5, cutoff=0.5)
        all_of_them = ", ".join(sorted(error.options))
        if len(error.options) > 20:
            all_of_them = f"{len(error.options)} names, listed by --help"
        hint = f"; near it: {', '.join(near)}" if near else ""
        own = "; your own network: model=custom model.target=..." if name == "model" else ""
        return f"{name}={value} does not exist{hint} (there are: {all_of_them}){own}"
    chain = _chain(error)
    unknown = any(isinstance(link, (ConfigAttributeError, ConfigKeyError)) for link in chain)
    if str(error).startswith("In '"):  # the fault lies inside the file that was chosen
        return f"{override} can't be used: {' '.join(str(error).split())}"
    found = next((link for link in chain if isinstance(link, OmegaConfBaseException)), chain[-1])
    if unknown and not name.startswith("hydra"):
        return _of_key(ConfigKeyError(""), name)
    return f"{name} is {value or 'empty'}; {_expected(name) or _first_line(str(found))}"


def _fault(error: Exception, group: str, path: Path) -> str:
    """What is wrong with a configuration file, with its name."""
    if isinstance(error, MarkedYAMLError):
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        return f"{path} is no YAML ({error.problem}, line {line})"
    if group == "sweep" and GLOBAL not in path.read_text(encoding="utf-8"):
        return f"{path} needs the first line {GLOBAL!r}, or its keys are taken for those of sweep"
    for link in _chain(error):
        if isinstance(link, OmegaConfBaseException) and link.full_key:
            return f"{path}: {_of_key(link, link.full_key)}"
    return f"{path}: {_first_line(str(error))}"


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was raised for, the first cause last."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    return chain


def _of_key(error: OmegaConfBaseException, key: str) -> str:
    """What OmegaConf has against the value of a key, or against the key."""
    if isinstance(error, (ConfigAttributeError, ConfigKeyError)):
        parent = key.rpartition(".")[0]
        schema = get_type_hints(Config).get(parent, Config)
        if is_dataclass(schema):
            prefix = f"{parent}." if schema is not Config else ""
            return _unknown(key, prefix, [part.name for part in fields(schema)])
    expected = _expected(key)
    return f"{key}: {_first_line(str(error))}" + (f"; {expected}" if expected else "")


def _expected(key: str) -> str | None:
    hint: Any = Config
    for part in key.split("."):
        if not is_dataclass(hint):
            return None
        hint = get_type_hints(hint).get(part)
    words = {
        int: "expected a whole number",
        int | None: "expected a whole number or null",
        float | None: "expected a number or null",
        bool: "expected true or false",
        str: "expected text",
        str | None: "expected text or null",
    }
    if is_dataclass(hint):
        names = [part.name for part in fields(hint)]
        return f"expected its keys one by one ({', '.join(f'{key}.{name}' for name in names)})"
    return words.get(hint)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"
