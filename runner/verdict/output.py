"""Flags of what the network gives: is it still right, and is it still what was compiled."""

from __future__ import annotations

from collections.abc import Iterator

from runner.contract import Level
from runner.verdict.flag import Case, Flag

# of the output's norm, that rounding explains, with room for deep networks: fp32 has been seen at
# 1e-6 and below, fp16 and TF32 at 6e-4 to 1e-3, bf16 at 4e-3 to 1e-2
MOST_ERROR = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}

MANY_DENORMAL = 0.01  # of the numbers: fewer cost no time that could be seen


def wrong_output(case: Case) -> Iterator[Flag]:
    """An error larger than the precision that was asked for explains."""
    error, precision = case.outcome.figures.get("rel_error"), case.trial.runtime.precision
    limit = MOST_ERROR[precision.removeprefix("amp_")]
    if error is not None and error > limit:
        # of boxes in another order, the difference is no error
        level = Level.NOTE if case.trial.model.task == "detection" else Level.SUSPECT
        yield Flag(
            "WRONG_OUTPUT",
            level,
            error,
            "% of the output",
            f"the output differs from that in fp32 by {error:.1%} ({precision} explains up to "
            f"{limit:.2g} of it)",
            "look at what really ran (effective in record.json), and take another precision or "
            "engine",
        )


def not_compared(case: Case) -> Iterator[Flag]:
    """An output that could not be held against that in fp32."""
    why_null = case.outcome.why_null
    reason = why_null.get("figures.rel_error")
    if reason and "effective.finite" not in why_null:  # else there was no output at all
        yield Flag(
            "NOT_CHECKED",
            Level.SUSPECT,
            None,
            "",
            f"the output could not be compared with that in fp32: {reason}",
            "compare it yourself before you trust this setting",
        )


def failed_afterwards(case: Case) -> Iterator[Flag]:
    """A device or network that no longer worked once the samples were taken."""
    why_null = case.outcome.why_null
    reasons = (why_null.get(name) for name in ("contention.gpu.load", "effective.finite"))
    if reason := next(filter(None, reasons), None):
        yield Flag(
            "NOT_CHECKED",
            Level.SUSPECT,
            None,
            "",
            f"a pass after the last sample failed ({reason}), so that what it gives was not seen",
            "look into worker.log, and time it again",
        )


def denormal(case: Case) -> Iterator[Flag]:
    """Numbers so small that a CPU computes with them by microcode."""
    effective = case.outcome.effective
    shares = {what: effective.get(f"denormal_{what}") or 0.0 for what in ("weights", "output")}
    told = [
        f"{share:.0%} of the {what}" for what, share in shares.items() if share >= MANY_DENORMAL
    ]
    if told and case.trial.device_kind == "cpu":
        yield Flag(
            "DENORMAL",
            Level.NOTE,
            max(shares.values()),
            "%",
            f"{' and '.join(told)} are numbers next to zero (denormal), for which a CPU may take "
            "ten times as long",
            "call torch.set_flush_denormal(True) where the network is made, or use trained weights",
        )


def recompiled(case: Case) -> Iterator[Flag]:
    """A compiler at work in the timed part."""
    again = case.outcome.effective.get("recompilations")
    if again:
        yield Flag(
            "RECOMPILED",
            Level.INVALID,
            again,
            "times",
            f"the network was compiled {again} times more while it was timed",
            "raise timing.warmup, or find by TORCH_LOGS=recompiles what changes in it",
            case.trial.timing.warmup + again,
        )


def graph_breaks(case: Case) -> Iterator[Flag]:
    """Parts between which the compiler had to go back to Python."""
    breaks = case.outcome.effective.get("graph_breaks")
    if breaks:
        yield Flag(
            "GRAPH_BREAKS",
            Level.NOTE,
            breaks,
            "breaks",
            f"the compiler went back to Python {breaks} times",
            "TORCH_LOGS=graph_breaks shows where",
        )


RULES = (wrong_output, not_compared, failed_afterwards, denormal, recompiled, graph_breaks)
