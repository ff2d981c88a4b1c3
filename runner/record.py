"""The record of one trial: everything known about it, in one JSON file on disk.

MLflow and every table are projections of records; nothing is rounded here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.trial import Trial

VERSION = 1
STATUSES = ("completed", "failed", "out_of_memory", "timed_out", "interrupted")


@dataclass(frozen=True)
class Outcome:
    """What came out of the process that ran a trial; milliseconds in run order.

    `series` holds what else was measured (hidden_device_ms, build_s, ...), `effective`
    the settings that were really in force, `contention` what was seen of others on the CPU
    and the GPU, `error` type, message and traceback, `why_null` the reason for whatever could
    not be looked at or described after the last sample.
    """

    status: str
    warmup_ms: tuple[float, ...] = ()
    latency_ms: tuple[float, ...] = ()
    series: dict[str, float | None] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    contention: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    why_null: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listener:
    """Hears what a trial does.

    Each phase before it begins, with its expected seconds (None: unknown), and the raw outcome
    as soon as the last sample is taken.
    """

    phase: Callable[[str, float | None], None] = lambda name, expected_s: None
    measured: Callable[[Outcome], None] = lambda outcome: None


@dataclass(frozen=True)
class Record:
    """One trial, once run. `trial` holds the configuration with every default filled in.

    `order_seed` decided the order of the trials within each round; null without rounds.
    `why_null` holds the reason for each null that has none beside it, by its dotted name.
    `key_rule` is the version of the rule that made `key`; 0 before there was one.
    """

    sweep_id: str
    key: str
    repeat: int
    title: str
    trial: dict[str, Any]
    status: str
    verdict: str | None
    reasons: list[dict[str, Any]]
    effective: dict[str, Any]
    warmup_ms: list[float]
    latency_ms: list[float]
    series: dict[str, float | None]
    summary: dict[str, Any]
    environment: dict[str, Any]
    contention: dict[str, Any] | None
    started_at: str
    ended_at: str
    error: dict[str, str] | None
    order_seed: int | None = None
    why_null: dict[str, str] = field(default_factory=dict)
    key_rule: int = 0
    version: int = VERSION

    @property
    def completed(self) -> bool:
        """Whether the trial was timed to its end."""
        return self.status == "completed"

    def half_width(self, figure: str = "p50") -> float | None:
        """Half of a figure's 95 % interval, as a share of it; None where there is none."""
        value, bounds = (
            self.summary.get(f"{figure}_ms"),
            self.summary.get("ci_ms", {}).get(figure),
        )
        return None if not value or bounds is None else float(bounds[1] - bounds[0]) / 2 / value

    @property
    def headline(self) -> str:
        """The figures in a few words: `p50 12.34 ms +-0.5%, 81.03 FPS`."""
        summary = self.summary
        if not summary:
            return f"{len(self.latency_ms)} samples"
        if summary.get("img_s") is not None:
            return f"{summary['img_s']:.2f} images/s"
        name = "p50" if summary.get("p50_ms") is not None else "mean"
        text = f"{name} {summary[f'{name}_ms']:.4g} ms"
        if (width := self.half_width(name)) is not None:
            text += f" +-{width:.1%}"
        return text if summary["fps"] is None else f"{text}, {summary['fps']:.2f} FPS"


class UnreadableRecord(Exception):
    """A record file that is damaged, or of a version this program does not know."""


def save(record: Record, path: Path) -> None:
    """Write the record so that `path` holds either nothing or all of it.

    Raises ValueError for NaN or infinity, which JSON can't hold, and OSError.
    """
    text = json.dumps(asdict(record), indent=1, allow_nan=False)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())  # a rename may reach the disk before the bytes it names
    partial.replace(path)


def load(path: Path) -> Record:
    """Read a record; raises UnreadableRecord with the reason and the file's name."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableRecord(f"{path} can't be read: {error}") from error
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise UnreadableRecord(f"{path} is of version {version}; expected version {VERSION}")
    for reason in values.get("reasons", []):  # once one sentence, in `advice`
        reason.setdefault("found", reason.pop("advice", ""))
    parts = fields(Record)
    needed = {part.name for part in parts if part.default is MISSING}
    if missing := needed - values.keys():
        raise UnreadableRecord(f"{path} lacks {', '.join(sorted(missing))}")
    return Record(**{part.name: values[part.name] for part in parts if part.name in values})


def trial_values(trial: Trial) -> dict[str, Any]:
    """The trial as plain JSON values, tuples as lists."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(trial)))
    return values


def utc_now() -> str:
    """The current time, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
