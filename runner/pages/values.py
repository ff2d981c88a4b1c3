"""The result of a sweep as JSON, with all figures in full precision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.contract import ExitCode
from runner.pages.answers import answers
from runner.records.record import Record
from runner.records.results import Result, results_of
from runner.records.store import RECORD
from runner.terminal.figures import over_processes
from runner.trial.description import Trial
from runner.trial.titles import keys_of

VERSION = 1  # of this form
LATENCIES = ("min", "p25", "p50", "p75", "p90", "p95", "p99", "p999", "max", "mean", "std")


def to_json(sweep_dir: Path, records: Sequence[Record], planned: int, code: ExitCode) -> str:
    """The result of a sweep of so many `planned` trials (counting processes)."""
    values = {
        "version": VERSION,
        "sweep_id": sweep_dir.name,
        "folder": str(sweep_dir),
        "exit_code": int(code),
        "planned": planned,
        "recorded": len(records),
        "answers": list(answers(records)) if len(records) > 1 else [],
        "trials": [_trial(result, sweep_dir) for result in results_of(records)],
    }
    return json.dumps(values, indent=1, allow_nan=False)


def _settings(trial: Trial) -> dict[str, Any]:
    own = keys_of(trial) | {"model.kwargs": trial.model.kwargs}
    return {name: value for name, value in own.items() if name != "repeat"}


def _trial(result: Result, sweep_dir: Path) -> dict[str, Any]:
    first, combined = result.first, result.combined
    found = {f"{name}_ms": over_processes(result, f"{name}_ms") for name in LATENCIES}
    ci_ms = combined.ci_ms if combined else None
    if len(result.records) == 1:
        ci_ms = (first.summary.get("ci_ms") or {}).get("p50")
    reasons = [reason for one in result.counted for reason in one.reasons]
    reasons.sort(key=lambda one: abs(one.get("figure") or 0.0))  # of each code the largest is shown
    return {
        "title": first.trial_title,
        "key": first.key,
        "settings": _settings(first.trial),
        "status": sorted({str(one.status) for one in result.records}),
        "error": next((one.cause for one in result.records if not one.completed), None),
        "verdict": result.verdict,
        "reasons": list({reason["code"]: reason for reason in reasons}.values()),
        "processes": {"run": len(result.records), "counted": len(result.counted)},
        "typical_ms": result.typical,
        "typical_ci_ms": ci_ms,
        "images_per_second": result.images_per_second,
        "tflop_s": result.tflop_s,
        **found,
        "figures": first.figures,
        "target": result.target,
        "records": [str(sweep_dir / one.folder / RECORD) for one in result.records],
    }
