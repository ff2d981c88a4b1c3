"""The judge: from a raw record, which is already on disk, to one with its verdict."""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from dataclasses import asdict, replace

from runner.contract import Level, Status, Verdict
from runner.records.record import Outcome, Record
from runner.statistics.summary import Summary, summarize
from runner.trial.description import Trial
from runner.trial.methods import METHODS
from runner.verdict.cpu import of_cpu
from runner.verdict.flag import Case, Flag
from runner.verdict.gpu import of_gpu
from runner.verdict.in_force import RULES as OF_SETTINGS
from runner.verdict.output import RULES as OF_OUTPUT
from runner.verdict.samples import RULES as OF_SAMPLES
from runner.verdict.service import RULES as OF_SERVICE

RULES = (*OF_SAMPLES, *OF_SERVICE, *OF_SETTINGS, *OF_OUTPUT, of_cpu, of_gpu)
WIDENING = ("WARMUP_SHORT", "DRIFT", "BIMODAL")  # they also widen the median's interval
DISTURBED = ("CPU_CONTENDED", "FOREIGN_PROCESS")  # others used the machine: reported first
OF_OVERLOAD = ("FEW_QUERIES", "TARGET_UNDECIDED")  # more queries would only make the queue longer
OF_DISTURBED = ("WARMUP_SHORT", "DRIFT", "BIMODAL", "NOISY")  # consequences of that


def judged(record: Record) -> Record:
    """The record with its summary and verdict; an error in judging loses only these."""
    trial, outcome = record.trial, record.outcome
    why_null = dict(outcome.why_null)
    if outcome.status != Status.COMPLETED:
        return replace(record, why_null=why_null)
    try:
        summary = _summary(trial, outcome)
        found = flags(trial, outcome, summary)
        json.dumps([asdict(summary), *map(asdict, found)], allow_nan=False)  # as it is saved
    except Exception as error:
        traceback.print_exc()
        why_null["verdict"] = f"judging failed: {type(error).__name__}: {error}"
        return replace(record, why_null=why_null)
    return replace(
        record,
        summary=asdict(summary),
        reasons=[asdict(flag) for flag in found],
        verdict=verdict_of(found),
        why_null=why_null,
    )


def _summary(trial: Trial, outcome: Outcome) -> Summary:
    pass_ms = None
    if not METHODS[trial.timing.method].has_latency:
        pass_ms = outcome.figures.get("synced_ms")
    elif trial.load.name == "offline" and (rate := outcome.figures.get("answered_qps")):
        pass_ms = 1000 / rate  # all queries wait from the start, for those before them
    return summarize(
        outcome.latency_ms,
        trial.input.batch_size,
        outcome.warmup_ms,
        inner=outcome.effective.get("inner", 1),
        pipelined_ms=pass_ms,
        queued=trial.load.name == "server",
    )


def flags(trial: Trial, outcome: Outcome, summary: Summary) -> list[Flag]:
    """The flags of a completed trial, the worst first."""
    case = Case(trial, outcome, summary)
    found = [flag for rule in RULES for flag in rule(case)]
    # the cause is reported instead, with its own remedy
    if any(flag.code in WIDENING and flag.level != Level.NOTE for flag in found):
        found = [flag for flag in found if flag.code != "NOISY"]
    if any(flag.code in DISTURBED and flag.level == Level.INVALID for flag in found):
        found = [flag for flag in found if flag.code not in OF_DISTURBED]
    if any(flag.code == "OVERLOAD" for flag in found):
        found = [flag for flag in found if flag.code not in OF_OVERLOAD]
    first = dict.fromkeys(DISTURBED, -1)
    return sorted(found, key=lambda flag: (list(Level).index(flag.level), first.get(flag.code, 0)))


def verdict_of(found: Sequence[Flag]) -> Verdict:
    """The worst level of the flags; valid if there are only notes."""
    levels = {flag.level for flag in found} | {Verdict.VALID}
    return next(verdict for verdict in Verdict if verdict in levels)
