"""The settings of a whole sweep and their validation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.config.schema import (
    BUSY_ACTIONS,
    COLUMNS,
    DEVICE_LOCKS,
    FORMATS,
    HISTORIES,
    ISOLATIONS,
    SEARCHES,
    TRACKING_KINDS,
    BusyConfig,
    NightlyConfig,
    TrackingConfig,
)
from runner.config.values import Values, known
from runner.contract import Problem
from runner.host.addresses import address_problem
from runner.trial.near import expected

MAX_ID_LENGTH, RESERVED_IDS = 128, ("mlartifacts", "mlflow.db")
NAME = re.compile(r"\w[\w.-]*")
OTHERS = re.compile(r"latest|[0-9a-f]{32}|.*\.(html|db)")  # reserved: an MLflow run, pages, stores
MAX_EXPERIMENT_LENGTH = 500  # MLflow's limit
TRACKING_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")

CHOICES = {"isolation": ISOLATIONS, "device_lock": DEVICE_LOCKS, "format": FORMATS}


@dataclass(frozen=True)
class Settings:
    """The settings of a whole sweep; `name` is that of its file, if it has one."""

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
    search: str | None
    max_batch: int
    nightly: NightlyConfig
    when_busy: BusyConfig
    columns: list[str] | None
    format: str
    quiet: bool
    verbose: bool

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
        tracking=TrackingConfig(**known(values["tracking"], TrackingConfig)),
        repeats=sweep["repeats"],
        search=sweep["search"],
        max_batch=sweep["max_batch"],
        nightly=NightlyConfig(**known(values["nightly"], NightlyConfig)),
        when_busy=BusyConfig(**known(values["when_busy"], BusyConfig)),
        columns=values["table"]["columns"],
        format=values["format"],
        quiet=values["quiet"],
        verbose=values["verbose"],
    )


def wide_problems(values: Values) -> Iterator[Problem]:
    """Problems of the keys that apply to the whole sweep."""
    yield from _tracking_problems(values["tracking"])
    yield from _sweep_problems(values)
    yield from _nightly_problems(values["nightly"])
    yield from _shown_problems(values)


def _shown_problems(values: Values) -> Iterator[Problem]:
    """Problems of the keys that control the output."""
    for name in values["table"]["columns"] or []:
        if name not in COLUMNS:
            found = f"table.columns has {name}, which is not a column"
            yield Problem("table.columns", found, expected(name, COLUMNS))
    busy = values["when_busy"]
    if busy["action"] not in BUSY_ACTIONS:
        remedy = expected(busy["action"], BUSY_ACTIONS)
        yield Problem("when_busy.action", f"when_busy.action is {busy['action']}", remedy)
    if seconds_of(busy["limit"]) is None:
        found = f"when_busy.limit is {busy['limit']}"
        yield Problem("when_busy.limit", found, "expected a duration, as in 30m or 2h")
    if values["quiet"] and values["verbose"]:
        yield Problem("quiet", "quiet and verbose are both true", "give one")


def _sweep_problems(values: Values) -> Iterator[Problem]:
    sweep, isolation = values["sweep"], values["isolation"]
    for key, choices in CHOICES.items():
        if values[key] not in choices:
            yield Problem(key, f"{key} is {values[key]}", expected(values[key], choices))
    if isolation == "none" and values["timing"]["timeout_s"] is not None:
        found = "timing.timeout_s is set, but isolation=none leaves no process to end"
        yield Problem("timing.timeout_s", found, "omit one of them")
    if not values["output_dir"].strip():
        remedy = "expected a folder, as in output_dir=outputs"
        yield Problem("output_dir", "output_dir is empty", remedy)
    name, repeats = str(sweep["id"]), sweep["repeats"]
    if not NAME.fullmatch(name) or len(name) > MAX_ID_LENGTH:
        shown = name if len(name) <= MAX_ID_LENGTH else f"{name[:20]}... ({len(name)} characters)"
        yield Problem(
            "sweep.id",
            f"sweep.id is {shown!r}",
            f"expected letters, digits, '_', '-' and '.', at most {MAX_ID_LENGTH}, as it names a "
            "folder",
        )
    if name in RESERVED_IDS:
        found = f"sweep.id is {name}, which MLflow itself uses below output_dir"
        yield Problem("sweep.id", found, "give another")
    elif OTHERS.fullmatch(name):
        found = (
            f"sweep.id is {name}, which is reserved: it means something else where a sweep is named"
        )
        yield Problem("sweep.id", found, "give another")
    own = sweep["name"]
    if own is not None and (not NAME.fullmatch(own) or len(own) > MAX_ID_LENGTH):
        remedy = f"expected letters, digits, '_', '-' and '.', at most {MAX_ID_LENGTH}"
        yield Problem("sweep.name", f"sweep.name is {own!r}", remedy)
    if sweep["search"] not in (None, *SEARCHES):
        remedy = expected(sweep["search"], SEARCHES)
        yield Problem("sweep.search", f"sweep.search is {sweep['search']}", remedy)
    if sweep["max_batch"] < 1:
        remedy = "expected a whole number of at least 1"
        yield Problem("sweep.max_batch", f"sweep.max_batch is {sweep['max_batch']}", remedy)
    if sweep["retry"] not in (None, "failed"):
        yield Problem("sweep.retry", f"sweep.retry is {sweep['retry']}", "expected failed")
    if sweep["resume"] is not None:  # the command line's own was expanded before
        yield Problem(
            "sweep.resume",
            "sweep.resume is set in a file",
            "it may only be given on the command line",
        )
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
    if seconds_of(confirm := nightly["confirm_budget"]) is None:
        key, remedy = "nightly.confirm_budget", "expected a time, as in 2h or 30m; 0s: no duets"
        yield Problem(key, f"{key} is {confirm}", remedy)
    if nightly["window"] < 1:
        key, remedy = "nightly.window", "expected at least 1 night"
        yield Problem(key, f"{key} is {nightly['window']}", remedy)
    if nightly["history"] not in HISTORIES:
        key, remedy = "nightly.history", f"expected one of {', '.join(HISTORIES)}"
        yield Problem(key, f"{key} is {nightly['history']}", remedy)
    if not 0 <= share <= 1:
        key = "nightly.allow_inconclusive"
        yield Problem(key, f"{key} is {share}", "expected a share, from 0 to 1")
    if (webhook := nightly["webhook"]) is not None and (
        not re.match(r"https?://", webhook) or address_problem(webhook)
    ):
        found = "nightly.webhook is not an http or https address"
        yield Problem("nightly.webhook", found, "expected one, as in https://host/hook")


def _tracking_problems(tracking: Values) -> Iterator[Problem]:
    kind, uri = tracking["kind"], tracking["uri"]
    if kind not in TRACKING_KINDS:
        remedy = f"expected one of {', '.join(TRACKING_KINDS)}"
        yield Problem("tracking.kind", f"tracking.kind is {kind}", remedy)
    if kind == "server" and not uri:
        yield Problem(
            "tracking.uri",
            "tracking=server needs tracking.uri, as in tracking.uri=http://127.0.0.1:5000 "
            "(or the environment variable MLFLOW_TRACKING_URI)",
        )
    scheme = str(uri or "").partition(":")[0].partition("+")[0]
    if uri and scheme not in TRACKING_SCHEMES:
        yield Problem(
            "tracking.uri",
            f"tracking.uri begins with {scheme!r}",
            f"expected one of {', '.join(f'{name}:' for name in TRACKING_SCHEMES)}",
        )
    elif uri and (why := address_problem(uri)):
        yield Problem("tracking.uri", f"tracking.uri is not an address ({why})")
    if len(tracking["experiment"]) > MAX_EXPERIMENT_LENGTH:
        found = f"tracking.experiment has {len(tracking['experiment'])} characters"
        remedy = f"expected at most {MAX_EXPERIMENT_LENGTH}"
        yield Problem("tracking.experiment", found, remedy)
    if not tracking["experiment"].strip():
        remedy = "expected a name, as in tracking.experiment=runner"
        yield Problem("tracking.experiment", "tracking.experiment is empty", remedy)
