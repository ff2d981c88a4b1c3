"""Every key of the command line and its type, as Hydra knows them.

Where a key is a field of the trial, its type is the trial's own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from runner.trial.description import Engine, Input, Load, Model, Pipeline, Runtime, Timing
from runner.trial.phases import PHASES

GLOBAL = "# @package _global_"
ISOLATIONS = ("process", "none")
TRACKING_KINDS = ("sqlite", "server", "off")
DEVICE_LOCKS = ("wait", "refuse", "off")
FORMATS = ("table", "json")
COLUMNS = (  # of the table at the end; runner/terminal/figures.py makes each
    *("p50", "ci", "mean", "sd", "min", "p25", "p75", "p90", "p95", "p99", "max", "p99.9", "fps"),
    *(*PHASES, "phases_sum", "answered", "busy", "together", "target"),
    *("tflops", "speedup", "error", "build_s", "compile_s", "convert_s", "peak_mib"),
    *("processes", "spread", "verdict"),
)
BUSY_ACTIONS = ("wait", "warn", "refuse")
HISTORIES = ("disk", "mlflow")
SEARCHES = ("capacity", "max_batch")

PLUGINS = str(Path(__file__).parents[1] / "_plugins")


@dataclass(frozen=True)
class TrackingConfig:
    """The keys tracking.*: where the MLflow runs go."""

    kind: str = MISSING
    uri: str | None = None
    experiment: str = MISSING


@dataclass(frozen=True)
class SweepConfig:
    """The keys sweep.*: its name, processes for each trial, their order, and resuming it."""

    id: str = MISSING
    name: str | None = None
    repeats: int = MISSING
    order_seed: int | None = None
    resume: str | None = None
    retry: str | None = None
    extend: bool = MISSING
    search: str | None = None
    max_batch: int = MISSING


@dataclass(frozen=True)
class BusyConfig:
    """The keys when_busy.*: what to do where others use the CPUs."""

    action: str = MISSING
    limit: str = MISSING


@dataclass(frozen=True)
class TableConfig:
    """The keys table.*: what the table at the end of a sweep shows."""

    columns: list[str] | None = None


@dataclass(frozen=True)
class NightlyConfig:
    """The keys nightly.*: what python -m runner.nightly judges by, and the budget of a night."""

    budget: str | None = None
    window: int = MISSING
    history: str = MISSING
    accept: str = MISSING
    allow_inconclusive: float = MISSING
    confirm_budget: str = MISSING
    old: str | None = None
    webhook: str | None = None


@cache
def types_of(schema: type) -> dict[str, Any]:
    """The type of each key, cached: reading the annotations takes milliseconds."""
    return get_type_hints(schema)


def _keys_of(part: type, **types: Any) -> Any:
    """A part of the trial as a group of keys; fields without a default are MISSING.

    `types` replace the types of fields that a configuration writes differently.
    """
    hints = types_of(part) | types
    # for a field without a default, both are MISSING
    names = [one.name for one in fields(part) if one.default is one.default_factory]
    return make_dataclass(
        f"{part.__name__}Keys",
        [(name, hints[name], field(default=MISSING)) for name in names],
        bases=(part,),
        frozen=True,
        namespace={"__module__": __name__},  # for pickle
    )


ModelKeys = _keys_of(Model)
InputKeys = _keys_of(Input, size=Any)  # a whole number or a list of two, in pixels
TimingKeys = _keys_of(Timing)
RuntimeKeys = _keys_of(Runtime)


@dataclass(frozen=True)
class Config:
    """Every key of the command line, typed. conf/config.yaml gives and explains the values."""

    model: Model = field(default_factory=ModelKeys)
    input: Input = field(default_factory=InputKeys)
    timing: Timing = field(default_factory=TimingKeys)
    runtime: Runtime = field(default_factory=RuntimeKeys)
    engine: Engine = field(default_factory=Engine)
    pipeline: Pipeline = field(default_factory=Pipeline)
    load: Load = field(default_factory=Load)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    nightly: NightlyConfig = field(default_factory=NightlyConfig)
    table: TableConfig = field(default_factory=TableConfig)
    when_busy: BusyConfig = field(default_factory=BusyConfig)
    device: str = MISSING
    repeat: int = MISSING
    seed: int = MISSING
    isolation: str = MISSING
    device_lock: str = MISSING
    dry_run: bool = MISSING
    report: bool = MISSING
    format: str = MISSING
    quiet: bool = MISSING
    verbose: bool = MISSING
    output_dir: str = MISSING


@dataclass(frozen=True)
class SweeperConfig:
    """The sweeper's configuration; conf/sweep/*.yaml fill `params`, as key: "value,value"."""

    _target_: str = "hydra_plugins.runner_sweeper.RunnerSweeper"
    params: dict[str, str] = field(default_factory=dict)


def register_schema() -> None:
    """Register both schemas with Hydra, and the folder of the sweeper.

    Call it before anything is composed: Hydra searches for plugins once.
    """
    if PLUGINS not in sys.path:
        sys.path.append(PLUGINS)
    store = ConfigStore.instance()
    store.store(name="schema", node=_writable(Config))
    store.store(group="hydra/sweeper", name="runner", node=_writable(SweeperConfig))


def _writable(schema: type) -> DictConfig:
    """A writable copy: nodes of frozen dataclasses are read-only and can't be merged into."""
    config: DictConfig = OmegaConf.structured(schema)
    for node in (config, *dict(config.items_ex(resolve=False)).values()):
        if isinstance(node, DictConfig):
            OmegaConf.set_readonly(node, None)
            for _, inner in node.items_ex(resolve=False):
                if isinstance(inner, DictConfig) and not is_dataclass(OmegaConf.get_type(inner)):
                    OmegaConf.set_struct(inner, False)  # a dictionary accepts any key
    return config
