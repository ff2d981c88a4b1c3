"""A record as an MLflow run: its params, metrics, tags and note."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from runner.contract import Level
from runner.records.process_summary import process_summary_of
from runner.records.record import Record, sentence
from runner.trial.phases import PHASES

if TYPE_CHECKING:
    from mlflow.entities import Param

PARAM_LIMIT, TAG_LIMIT = 6000, 8000  # characters, beyond which MLflow cuts
NAME_LIMIT = 250  # characters of a run's name, beyond which PostgreSQL refuses it
METRICS = {  # metric in MLflow -> field of the record's summary; short, for the UI's column heads
    "lat_ms/p50": "p50_ms",
    "lat_ms/mean": "mean_ms",
    "lat_ms/min": "min_ms",
    "lat_ms/p90": "p90_ms",
    "lat_ms/p95": "p95_ms",
    "lat_ms/p99": "p99_ms",
    "lat_ms/p999": "p999_ms",
    "lat_ms/std": "std_ms",
    "lat_ms/mad": "mad_ms",
    "lat_ms/first": "first_ms",
    "thr/fps": "fps",
    "thr/img_s": "img_s",
}
FIGURES = {  # likewise for its figures
    "mem/peak_mib": "peak_mib",
    "setup/build_s": "build_s",
    "setup/compile_s": "compile_s",
    "setup/convert_s": "convert_s",
    "out/rel_err": "rel_error",
    "out/top1": "top1",
    "cost/gflop": "gflop",
    "cost/params": "parameters",
    "cost/weights_mib": "weights_mib",
    **{f"phase_ms/{name}": f"{name}_ms" for name in PHASES},
    "phase_ms/sum": "phases_sum_ms",
    "load/offered": "offered_qps",
    "load/answered": "answered_qps",
    "load/busy": "busy",
    "load/together": "batch_mean",
    "load/late_p99": "late_p99_ms",
}


def params_of(keys: Mapping[str, object]) -> list[Param]:
    """Keys with their values, cut to MLflow's limit."""
    from mlflow.entities import Param

    return [Param(key, str(value)[:PARAM_LIMIT]) for key, value in keys.items()]


def metrics_of(record: Record) -> Iterable[tuple[str, float]]:
    """Short names grouped by slash; missing figures are omitted, never zero.

    Four digits, because the UI shows all of them; the record has full precision.
    """
    yield from ((name, digits(value)) for name, value in _figures_of(record))


def digits(value: float) -> float:
    """Four significant digits; whole numbers, such as parameters, keep all."""
    return value if float(value).is_integer() else float(f"{value:.4g}")


def _figures_of(record: Record) -> Iterable[tuple[str, float]]:
    for metric, name in METRICS.items():
        if (value := record.summary.get(name)) is not None:
            yield metric, value
    if (bounds := record.summary.get("ci_ms", {}).get("p50")) is not None:
        yield "lat_ms/p50_lo", bounds[0]
        yield "lat_ms/p50_hi", bounds[1]
    for metric, name in FIGURES.items():
        if (value := record.figures.get(name)) is not None:
            yield metric, value
    if (rate := record.tflop_s) is not None:
        yield "thr/tflop_s", rate


def tags_of(record: Record) -> dict[str, str]:
    """The tags by which runs are found and filtered; every value is a string."""
    environment: Mapping[str, Any] = record.environment
    brief = process_summary_of(record)
    tags = {
        "runner.title": brief.title,
        "runner.kind": "trial",
        "runner.sweep": record.sweep_id,
        "runner.trial_key": record.key,
        "runner.repeat": record.repeat,
        "status": record.status,
        "verdict": record.verdict or "not judged",
        "reasons": " ".join(
            reason["code"] for reason in record.reasons if reason["level"] != Level.NOTE
        )
        or None,
        "runner.order_seed": record.order_seed,
        # in full precision, for comparisons from runs alone
        "runner.typical_ms": record.typical_ms,
        "runner.identity": brief.identity,
        "runner.unfit": brief.unfit,
        "runner.facts": json.dumps(brief.facts),
        "target": record.effective.get("target"),
        "gpu": environment.get("gpu"),
        "driver": environment.get("gpu_driver"),
        "error": record.error and f"{record.error['type']}: {record.error['message']}",
        **{name: environment.get(name) for name in ("host", "pid", "cpu", "torch", "git_commit")},
    }
    return {key: str(value)[:TAG_LIMIT] for key, value in tags.items() if value is not None}


def note_of(record: Record) -> str:
    """The description of the run, in Markdown."""
    if record.error:
        return f"**{record.status}**{record.cause.removeprefix(record.status)}"[:TAG_LIMIT]
    advice = "".join(f"\n- {reason['code']}: {sentence(reason)}" for reason in record.reasons)
    return f"**{record.headline}**, {record.verdict}{advice}"[:TAG_LIMIT]
