"""From a composed configuration to a Trial and to the settings of its sweep, checked.

In two steps: from the nodes of a configuration to plain values, which takes milliseconds, and from
these to a Trial, which takes far less. The points of a large sweep share the first.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.explain import first_line, unknown_key
from runner.config.schema import (
    CONF,
    DEVICE_LOCKS,
    HISTORIES,
    ISOLATIONS,
    TRACKING_KINDS,
    Config,
    NightlyConfig,
    TrackingConfig,
    types_of,
)
from runner.host.devices import Devices, resolve_device
from runner.measure.simulated import SimulatedDevice
from runner.trial.description import Engine, Input, Model, Runtime, Timing, Trial
from runner.trial.methods import EVERYWHERE, resolve_method
from runner.trial.rules import Problem, UsageError, problems, size_of, target_problem

Values = dict[str, Any]
"""The keys of a configuration and their values, a dictionary for each group."""

UNKNOWN_SIZE = (0, 0)  # pixels
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
    report: bool
    tracking: TrackingConfig
    repeats: int
    nightly: NightlyConfig

    @property
    def sweep_dir(self) -> Path:
        """The folder of the sweep's records."""
        return self.output_dir / self.sweep_id


def settings_of(values: Values) -> Settings:
    """The settings of the sweep, from the checked values of any of its points."""
    sweep = values["sweep"]
    return Settings(
        sweep_id=str(sweep["id"]),
        name=sweep["name"],
        output_dir=Path(values["output_dir"]),
        isolation=values["isolation"],
        device_lock=values["device_lock"],
        retry=sweep["retry"],
        extend=sweep["extend"],
        dry_run=values["dry_run"],
        report=values["report"],
        tracking=TrackingConfig(**_known(values["tracking"], TrackingConfig)),
        repeats=sweep["repeats"],
        nightly=NightlyConfig(**_known(values["nightly"], NightlyConfig)),
    )


def values_of(cfg: DictConfig) -> Values:
    """All keys of a composed configuration but Hydra's own, as plain values.

    Raises UsageError for keys that are missing or refer to what is not there.
    """
    if missing := list(_missing_keys(cfg)) or list(_unresolved(cfg)):
        raise UsageError(*missing)
    return {str(key): plain(cfg[key]) for key in cfg if key != "hydra"}


def trial_of(
    values: Values,
    devices: Devices,
    folder: Path,
    own_sizes: Mapping[str, tuple[int, int]] | None = None,
) -> Trial:
    """The Trial that the values of a point describe, checked.

    `folder` is where a user's own modules are looked for. `own_sizes` are those of models, by their
    labels, that only their sources know: as long as these have not been asked, UNKNOWN_SIZE
    stands for them.
    Raises UsageError with every problem found.
    """
    found = [
        *_unknown_keys(values, Config),
        *_model_problems(values["model"], folder),
        *wide_problems(values),
    ]
    # int8 kernels are the CPU's
    only = {"quantized": "cpu", "simulated": "simulated"}.get(values["model"]["task"], "auto")
    own = values["input"]["size"] is None and values["model"]["default_size"] is None
    size: tuple[int, int] | Problem = UNKNOWN_SIZE
    if not own:
        size = size_of(values["input"]["size"])
    elif own_sizes is not None:
        size = _own_size(Model(**_known(values["model"], Model)), own_sizes)
    device = resolve_device(only if values["device"] == "auto" else values["device"], devices)
    found += [value for value in (size, device) if isinstance(value, Problem)]
    told = {problem.key for problem in found} | ({"input.size"} if size == UNKNOWN_SIZE else set())
    known = values["device"] if isinstance(device, Problem) else device
    kind = known.partition(":")[0]
    engine = _known(values["engine"], Engine)
    if engine["name"] == "auto":
        engine["name"] = "onnxruntime" if values["model"]["source"] == "onnx" else "eager"
    method = resolve_method(
        values["timing"]["method"], kind if engine["name"] == "eager" else "cpu"
    )
    trial = Trial(
        model=Model(**_known(values["model"], Model)),
        input=Input(
            **_known(values["input"], Input)
            | {"size": (1, 1) if isinstance(size, Problem) else size}
        ),
        timing=Timing(**_known(values["timing"], Timing) | {"method": method}),
        runtime=Runtime(**_known(values["runtime"], Runtime)),
        device=known,
        repeat=values["repeat"],
        seed=values["seed"],
        engine=Engine(**engine),
    )
    found += [one for one in problems(trial, kind in EVERYWHERE) if one.key not in told]
    if found:
        raise UsageError(*found)
    return trial


def wide_problems(values: Values) -> Iterator[Problem]:
    """What is wrong with the keys that hold for a whole sweep."""
    yield from _tracking_problems(values["tracking"])
    yield from _sweep_problems(values)
    yield from _nightly_problems(values["nightly"])


def _own_size(model: Model, known: Mapping[str, tuple[int, int]]) -> tuple[int, int] | Problem:
    if model.label in known:
        return known[model.label]
    found = f"input.size is null, and {model.label} does not say which it is made for"
    return Problem("input.size", found, "give it in pixels, as in input.size=224")


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


def _sweep_problems(values: Values) -> Iterator[Problem]:
    sweep, isolation = values["sweep"], values["isolation"]
    for key, choices in (("isolation", ISOLATIONS), ("device_lock", DEVICE_LOCKS)):
        if values[key] not in choices:
            yield Problem(key, f"{key} is {values[key]}", f"expected one of {', '.join(choices)}")
    if isolation == "none" and values["timing"]["timeout_s"] is not None:
        found = "timing.timeout_s is set, but isolation=none leaves no process to end"
        yield Problem("timing.timeout_s", found, "leave one of them out")
    if not values["output_dir"].strip():
        remedy = "expected a folder, as in output_dir=outputs"
        yield Problem("output_dir", "output_dir is empty", remedy)
    name, repeats = str(sweep["id"]), sweep["repeats"]
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
    if sweep["retry"] not in (None, "failed"):
        yield Problem("sweep.retry", f"sweep.retry is {sweep['retry']}", "expected failed")
    if sweep["resume"] is not None:  # what was typed has been carried out, and is not here
        yield Problem("sweep.resume", "sweep.resume stands in a file", "give it when you go on")
    if repeats < 1:
        remedy = "expected a whole number of at least 1"
        yield Problem("sweep.repeats", f"sweep.repeats is {repeats}", remedy)


def seconds_of(duration: str) -> float | None:
    """`2h`, `1h30m`, `90m` or `45s` in seconds; None for anything else."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", duration.replace(" ", ""))
    if parts is None or not any(parts.groups()):
        return None
    hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def _nightly_problems(nightly: Values) -> Iterator[Problem]:
    budget, share = nightly["budget"], nightly["allow_inconclusive"]
    if budget is not None and not seconds_of(budget):
        key, remedy = "nightly.budget", "expected a time, as in 2h, 1h30m or 90m"
        yield Problem(key, f"{key} is {budget}", remedy)
    if nightly["window"] < 1:
        key, remedy = "nightly.window", "expected at least 1 night"
        yield Problem(key, f"{key} is {nightly['window']}", remedy)
    if nightly["history"] not in HISTORIES:
        key, remedy = "nightly.history", f"expected one of {', '.join(HISTORIES)}"
        yield Problem(key, f"{key} is {nightly['history']}", remedy)
    if not 0 <= share <= 1:
        key = "nightly.allow_inconclusive"
        yield Problem(key, f"{key} is {share}", "expected a share, from 0 to 1")
    if nightly["webhook"] is not None and not re.match(r"https?://", nightly["webhook"]):
        found = "nightly.webhook is no http or https address"
        yield Problem("nightly.webhook", found, "expected one, as in https://host/hook")


def _model_problems(model: Values, folder: Path) -> Iterator[Problem]:
    if model["source"] is not None:
        return  # it knows its own keys
    name, target, weights = model["name"], model["target"], model["weights"]
    named = name != "custom" and name in _own_models()
    if named and target is not None:
        yield Problem("model.target", f"model.target goes with model=custom, but model is {name}")
    elif not named and target is None and name != "custom":
        found = f"model.name is {name}, which is no model"
        yield Problem("model.name", found, "choose one by model=NAME")
    elif not named and (problem := target_problem(target, folder)):
        yield problem
    kwargs = model["kwargs"]
    try:
        json.dumps(kwargs, allow_nan=False)
    except ValueError:
        yield Problem("model.kwargs", f"model.kwargs are {kwargs}", "expected finite numbers only")
    if model["task"] == "simulated":
        yield from _unsimulated(kwargs, weights)
    if not named and weights is not None:
        found = "model.weights goes with torchvision's models"
        yield Problem("model.weights", found, "load yours in model.target")


@cache
def _own_models() -> frozenset[str]:
    """The names that have a file in conf/model/."""
    return frozenset(path.stem for path in (CONF / "model").glob("*.yaml"))


def _unsimulated(kwargs: Values, weights: str | None) -> Iterator[Problem]:
    try:
        SimulatedDevice(**kwargs)
    except (TypeError, ValueError) as error:
        costs = ", ".join(inspect.signature(SimulatedDevice).parameters)
        found = f"model.kwargs describe no simulated device ({error})"
        yield Problem("model.kwargs", found, f"it takes {costs}")
    if weights is not None:
        found = "model.weights is set, but a simulated device has none"
        yield Problem("model.weights", found, "leave it out")


def _tracking_problems(tracking: Values) -> Iterator[Problem]:
    kind, uri = tracking["kind"], tracking["uri"]
    if kind not in TRACKING_KINDS:
        remedy = f"expected one of {', '.join(TRACKING_KINDS)}"
        yield Problem("tracking.kind", f"tracking.kind is {kind}", remedy)
    if kind == "server" and not uri:
        yield Problem(
            "tracking.uri",
            "tracking=server needs tracking.uri, as in tracking.uri=http://127.0.0.1:5000 "
            "(or the variable MLFLOW_TRACKING_URI)",
        )
    scheme = str(uri or "").partition(":")[0].partition("+")[0]
    if uri and scheme not in TRACKING_SCHEMES:
        yield Problem(
            "tracking.uri",
            f"tracking.uri begins with {scheme!r}",
            f"expected one of {', '.join(f'{name}:' for name in TRACKING_SCHEMES)}",
        )
    if not tracking["experiment"].strip():
        remedy = "expected a name, as in tracking.experiment=runner"
        yield Problem("tracking.experiment", "tracking.experiment is empty", remedy)


def plain(value: Any) -> Any:
    """A node of a configuration as dictionaries, lists and values, references resolved."""
    is_config = isinstance(value, (DictConfig, ListConfig))
    return OmegaConf.to_container(value, resolve=True) if is_config else value


def _known(values: Values, schema: type) -> Values:
    """The values for the fields of a dataclass; unknown keys are reported elsewhere."""
    known = types_of(schema)
    return {name: value for name, value in values.items() if name in known}


def _unknown_keys(values: Values, schema: type, prefix: str = "") -> Iterator[Problem]:
    types = types_of(schema)
    for key, value in values.items():
        if key not in types:
            yield unknown_key(f"{prefix}{key}", prefix, list(types))
        elif is_dataclass(types[key]) and isinstance(value, dict):
            yield from _unknown_keys(value, types[key], f"{prefix}{key}.")


def _missing_keys(cfg: DictConfig) -> Iterator[Problem]:
    deleted = "was deleted from the configuration"
    for part in fields(Config):
        if part.name not in cfg:
            yield Problem(part.name, f"{part.name} {deleted}", "leave it in")
        elif is_dataclass(hint := types_of(Config)[part.name]):
            for name in (inner.name for inner in fields(hint)):
                key = f"{part.name}.{name}"
                if OmegaConf.is_missing(cfg[part.name], name):  # which `in` takes for not there
                    yield Problem(key, f"{key} has no value", f"give one, as in {key}=VALUE")
                elif name not in cfg[part.name]:
                    yield Problem(key, f"{key} {deleted}", "leave it in")
