"""Records as pandas tables, one row for each process or sample; units in the column names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from runner.contract import Level
from runner.records.record import Record
from runner.trial.titles import keys_of

if TYPE_CHECKING:
    from pandas import DataFrame

FIGURES_MS = (
    *("min", "p25", "p50", "p75", "p90", "p95", "p99", "p999", "max"),
    *("mean", "std", "mad", "first", "cold_start"),
)
SUMMARY = {  # field of a record's summary -> its column
    **{f"{name}_ms": f"{name}_ms" for name in FIGURES_MS},
    "cv": "cv",
    "fps": "closed_loop_img_s",
    "img_s": "throughput_img_s",
    "n": "samples",
    "inner": "passes_per_sample",
    "outliers": "outliers",
}
ENVIRONMENT = ("host", "cpu", "gpu", "gpu_driver", "cuda", "cudnn", "torch", "torchvision")
MORE = ("python", "os", "runner", "git_commit", "git_dirty", "own_code")


def trials_frame(records: Iterable[Record]) -> DataFrame:
    """A row for each record: its keys, figures and environment.

    Times are in milliseconds, unknown values are missing. `p50_lo_ms` and `p50_hi_ms` are the
    ends of the median's 95 % interval within the process.
    """
    import pandas as pd

    frame = pd.DataFrame([_row(record) for record in records])
    for name in frame.columns[[kind == "object" for kind in frame.dtypes]]:
        known = frame[name].dropna()
        if known.map(type).nunique() > 1:  # 640 and 480x640, which parquet can't hold together
            frame[name] = known.map(str)
    return frame


def samples_frame(records: Iterable[Record]) -> DataFrame:
    """A row for each sample in run order, warm-up included: `phase` is warmup or timed."""
    import pandas as pd

    rows = [row for record in records for row in _sample_rows(record)]
    return pd.DataFrame(rows, columns=[*_IDENTITY, "phase", "iteration", "latency_ms"])


_IDENTITY = ("sweep_id", "key", "repeat", "title")


def _identity(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _IDENTITY}


def _row(record: Record) -> dict[str, Any]:
    bounds = record.summary.get("ci_ms", {}).get("p50") or (None, None)
    codes = [reason["code"] for reason in record.reasons if reason["level"] != Level.NOTE]
    figures = {name: value for name, value in record.figures.items() if value is not None}
    height, width = record.trial.input.pixels
    return {
        **_identity(record),
        **{name: value for name, value in keys_of(record.trial).items() if name != "repeat"},
        "input.height": height,
        "input.width": width,
        "status": record.status,
        "verdict": record.verdict,
        "reasons": " ".join(codes),
        **{column: record.summary.get(name) for name, column in SUMMARY.items()},
        "p50_lo_ms": bounds[0],
        "p50_hi_ms": bounds[1],
        **figures,
        "target": record.effective.get("target"),
        "tflop_s": record.tflop_s,
        **{name: record.environment.get(name) for name in ENVIRONMENT + MORE},
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "error": record.cause if record.error else None,
    }


def _sample_rows(record: Record) -> Iterator[dict[str, Any]]:
    identity = _identity(record)
    for phase, samples in (("warmup", record.warmup_ms), ("timed", record.latency_ms)):
        for iteration, latency_ms in enumerate(samples):
            yield {**identity, "phase": phase, "iteration": iteration, "latency_ms": latency_ms}
