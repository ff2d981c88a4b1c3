"""From a composed configuration to a Trial and to the settings of its sweep, checked."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.explain import first_line, unknown_key
from runner.config.schema import (
    CONF,
    DEVICE_LOCKS,
    ISOLATIONS,
    TRACKING_KINDS,
    Config,
    TrackingConfig,
    types_of,
)
from runner.host.devices import Devices, resolve_device
from runner.measure.simulated import SimulatedDevice
from runner.trial.description import Input, Model, Runtime, Timing, Trial
from runner.trial.methods import EVERYWHERE, resolve_method
from runner.trial.rules import Problem, UsageError, problems, size_of, target_problem

LONGEST_ID, RESERVED_IDS = 128, ("mlartifacts", "mlflow.db")
TRACKING_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")


@dataclass(frozen=True)
class Settings:
    """What holds for a whole sweep; `name` is that of its file, if it has one."""

    sweep_id: str
    name: str | None
    output_dir: Path
    isolation: str
    device_lock: str
    retry: str | None
    extend: bool
    dry_run: bool
    tracking: TrackingConfig

    @property
    def sweep_dir(self) -> Path:
        """The folder of the sweep's records."""
        return self.output_dir / self.sweep_id


def settings_of(cfg: DictConfig) -> Settings:
    """The settings of the sweep, from any of its checked configurations."""
    tracking = TrackingConfig(**_values(cfg.tracking, TrackingConfig))
    return Settings(
        sweep_id=str(cfg.sweep.id),
        name=cfg.sweep.name,
        output_dir=Path(cfg.output_dir),
        isolation=cfg.isolation,
        device_lock=cfg.device_lock,
        retry=cfg.sweep.retry,
        extend=cfg.sweep.extend,
        dry_run=cfg.dry_run,
        tracking=tracking,
    )


def trial_of(cfg: DictConfig, devices: Devices, folder: Path) -> Trial:
    """The Trial that a composed configuration describes, checked.

    `folder` is where a user's own modules are looked for.
    Raises UsageError with every problem found.
    """
    if missing := list(_missing_keys(cfg)) or list(_unresolved(cfg)):
        raise UsageError(*missing)
    found = [
        *_unknown_keys(cfg, Config),
        *_model_problems(cfg.model, folder),
        *_tracking_problems(cfg.tracking),
        *_sweep_problems(cfg),
    ]
    # int8 kernels are the CPU's
    only = {"quantized": "cpu", "simulated": "simulated"}.get(cfg.model.task, "auto")
    size = size_of(_plain(cfg.input.size))
    device = resolve_device(only if cfg.device == "auto" else cfg.device, devices)
    found += [value for value in (size, device) if isinstance(value, Problem)]
    told = {problem.key for problem in found}
    known = cfg.device if isinstance(device, Problem) else device
    kind = known.partition(":")[0]
    trial = Trial(
        model=Model(**_values(cfg.model, Model)),
        input=Input(
            **_values(cfg.input, Input) | {"size": (1, 1) if isinstance(size, Problem) else size}
        ),
        timing=Timing(
            **_values(cfg.timing, Timing) | {"method": resolve_method(cfg.timing.method, kind)}
        ),
        runtime=Runtime(**_values(cfg.runtime, Runtime)),
        device=known,
        repeat=cfg.repeat,
        seed=cfg.seed,
    )
    found += [one for one in problems(trial, kind in EVERYWHERE) if one.key not in told]
    if found:
        raise UsageError(*found)
    return trial


def _unresolved(cfg: DictConfig, prefix: str = "") -> Iterator[Problem]:
    """Values that refer to what is not there, as a variable that is not set."""
    for key in map(str, cfg):
        if key == "hydra" and not prefix:
            continue
        try:
            value = cfg[key]
        except OmegaConfBaseException as error:
            node = cfg._get_node(key)
            given = node._value() if isinstance(node, Node) else "?"
            name = f"{prefix}{key}"
            found = f"{name} is {given}, which has no value: {first_line(str(error))}"
            yield Problem(name, found)
            continue
        if isinstance(value, DictConfig):
            yield from _unresolved(value, f"{prefix}{key}.")


def _sweep_problems(cfg: DictConfig) -> Iterator[Problem]:
    for key, choices in (("isolation", ISOLATIONS), ("device_lock", DEVICE_LOCKS)):
        if cfg[key] not in choices:
            yield Problem(key, f"{key} is {cfg[key]}", f"expected one of {', '.join(choices)}")
    if cfg.isolation == "none" and cfg.timing.timeout_s is not None:
        found = "timing.timeout_s is set, but isolation=none leaves no process to end"
        yield Problem("timing.timeout_s", found, "leave one of them out")
    if not str(cfg.output_dir).strip():
        remedy = "expected a folder, as in output_dir=outputs"
        yield Problem("output_dir", "output_dir is empty", remedy)
    name, repeats = str(cfg.sweep.id), cfg.sweep.repeats
    if not re.fullmatch(r"\w[\w.-]*", name) or len(name) > LONGEST_ID:
        shown = name if len(name) <= LONGEST_ID else f"{name[:20]}... ({len(name)} characters)"
        yield Problem(
            "sweep.id",
            f"sweep.id is {shown!r}",
            f"expected letters, digits, '_', '-' and '.', at most {LONGEST_ID}, as it names a "
            "folder",
        )
    if name in RESERVED_IDS:
        found = f"sweep.id is {name}, which is MLflow's own below output_dir"
        yield Problem("sweep.id", found, "give another")
    if cfg.sweep.retry not in (None, "failed"):
        yield Problem("sweep.retry", f"sweep.retry is {cfg.sweep.retry}", "expected failed")
    if cfg.sweep.resume is not None:  # what was typed has been carried out, and is not here
        yield Problem("sweep.resume", "sweep.resume stands in a file", "give it when you go on")
    if repeats < 1:
        remedy = "expected a whole number of at least 1"
        yield Problem("sweep.repeats", f"sweep.repeats is {repeats}", remedy)


def _model_problems(model: DictConfig, folder: Path) -> Iterator[Problem]:
    if model.source is not None:
        return  # it knows its own keys
    named = (CONF / "model" / f"{model.name}.yaml").is_file() and model.name != "custom"
    if named and model.target is not None:
        found = f"model.target goes with model=custom, but model is {model.name}"
        yield Problem("model.target", found)
    elif not named and model.target is None and model.name != "custom":
        found = f"model.name is {model.name}, which is no model"
        yield Problem("model.name", found, "choose one by model=NAME")
    elif not named and (problem := target_problem(model.target, folder)):
        yield problem
    kwargs = _plain(model.kwargs)
    try:
        json.dumps(kwargs, allow_nan=False)
    except ValueError:
        yield Problem("model.kwargs", f"model.kwargs are {kwargs}", "expected finite numbers only")
    if model.task == "simulated":
        yield from _unsimulated(model)
    if not named and model.weights is not None:
        found = "model.weights goes with torchvision's models"
        yield Problem("model.weights", found, "load yours in model.target")


def _unsimulated(model: DictConfig) -> Iterator[Problem]:
    try:
        SimulatedDevice(**_plain(model.kwargs))
    except (TypeError, ValueError) as error:
        costs = ", ".join(inspect.signature(SimulatedDevice).parameters)
        found = f"model.kwargs describe no simulated device ({error})"
        yield Problem("model.kwargs", found, f"it takes {costs}")
    if model.weights is not None:
        found = "model.weights is set, but a simulated device has none"
        yield Problem("model.weights", found, "leave it out")


def _tracking_problems(tracking: DictConfig) -> Iterator[Problem]:
    if tracking.kind not in TRACKING_KINDS:
        remedy = f"expected one of {', '.join(TRACKING_KINDS)}"
        yield Problem("tracking.kind", f"tracking.kind is {tracking.kind}", remedy)
    if tracking.kind == "server" and not tracking.uri:
        yield Problem(
            "tracking.uri",
            "tracking=server needs tracking.uri, as in tracking.uri=http://127.0.0.1:5000 "
            "(or the variable MLFLOW_TRACKING_URI)",
        )
    scheme = str(tracking.uri or "").partition(":")[0].partition("+")[0]
    if tracking.uri and scheme not in TRACKING_SCHEMES:
        yield Problem(
            "tracking.uri",
            f"tracking.uri begins with {scheme!r}",
            f"expected one of {', '.join(f'{name}:' for name in TRACKING_SCHEMES)}",
        )
    if not tracking.experiment.strip():
        remedy = "expected a name, as in tracking.experiment=runner"
        yield Problem("tracking.experiment", "tracking.experiment is empty", remedy)


def _plain(value: Any) -> Any:
    is_config = isinstance(value, (DictConfig, ListConfig))
    return OmegaConf.to_container(value, resolve=True) if is_config else value


def _values(node: DictConfig, schema: type) -> dict[str, Any]:
    """The node's values for the fields of a dataclass; unknown keys are reported elsewhere."""
    return {part.name: _plain(node[part.name]) for part in fields(schema)}


def _unknown_keys(cfg: DictConfig, schema: type, prefix: str = "") -> Iterator[Problem]:
    types = types_of(schema)
    for key in map(str, cfg):
        if key == "hydra" and not prefix:
            continue  # Hydra's own, typed by Hydra
        if key not in types:
            yield unknown_key(f"{prefix}{key}", prefix, list(types))
        elif is_dataclass(types[key]) and isinstance(cfg._get_node(key), DictConfig):
            yield from _unknown_keys(cfg[key], types[key], f"{prefix}{key}.")


def _missing_keys(cfg: DictConfig) -> Iterator[Problem]:
    deleted = "was deleted from the configuration"
    for part in fields(Config):
        if part.name not in cfg:
            yield Problem(part.name, f"{part.name} {deleted}", "leave it in")
        elif is_dataclass(hint := types_of(Config)[part.name]):
            for name in (inner.name for inner in fields(hint)):
                key = f"{part.name}.{name}"
                if name not in cfg[part.name]:
                    yield Problem(key, f"{key} {deleted}", "leave it in")
                elif OmegaConf.is_missing(cfg[part.name], name):
                    yield Problem(key, f"{key} has no value", f"give one, as in {key}=VALUE")
