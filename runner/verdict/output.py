"""Flags of the output: is it still right, and is it still what was compiled."""

from __future__ import annotations

from collections.abc import Iterator

from runner.contract import Level
from runner.verdict.flag import Case, Flag

# of the output's norm, that rounding explains, with room for deep networks: fp32 has been seen at
# 1e-6 and below, fp16 and TF32 at 6e-4 to 1e-3, bf16 at 4e-3 to 1e-2
MAX_ERROR = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}

MANY_DENORMAL = 0.01  # of the numbers; fewer do not cost measurable time


def wrong_output(case: Case) -> Iterator[Flag]:
    """An error larger than the requested precision explains."""
    error, precision = case.outcome.figures.get("rel_error"), case.trial.runtime.precision
    limit = MAX_ERROR[precision.removeprefix("amp_")]
    if error is not None and error > limit:
        # a difference between boxes in another order is not an error
        level = Level.NOTE if case.trial.model.task == "detection" else Level.SUSPECT
        yield Flag(
            "WRONG_OUTPUT",
            level,
            error,
            "% of the output",
            f"the output differs from fp32 by {error:.1%} ({precision} explains up to {limit:.2g})",
            "check what really ran (effective in record.json), and use another precision or engine",
        )


def not_compared(case: Case) -> Iterator[Flag]:
    """An output that could not be compared with fp32."""
    why_null = case.outcome.why_null
    reason = why_null.get("figures.rel_error")
    if reason and "effective.finite" not in why_null:  # otherwise there was no output at all
        yield Flag(
            "NOT_CHECKED",
            Level.SUSPECT,
            None,
            "",
            f"the output could not be compared with fp32: {reason}",
            "check the output yourself before using this setting",
        )


def failed_afterwards(case: Case) -> Iterator[Flag]:
    """A device or network that failed after the samples were taken."""
    why_null = case.outcome.why_null
    reasons = (why_null.get(name) for name in ("contention.gpu.load", "effective.finite"))
    if reason := next(filter(None, reasons), None):
        yield Flag(
            "NOT_CHECKED",
            Level.SUSPECT,
            None,
            "",
            f"a pass after the last sample failed ({reason}), so its output was not checked",
            "see worker.log, and run it again",
        )


def denormal(case: Case) -> Iterator[Flag]:
    """Denormal numbers, which a CPU handles in microcode."""
    effective = case.outcome.effective
    shares = {what: effective.get(f"denormal_{what}") or 0.0 for what in ("weights", "output")}
    text = [
        f"{share:.0%} of the {what}" for what, share in shares.items() if share >= MANY_DENORMAL
    ]
    if text and case.trial.device_kind == "cpu":
        yield Flag(
            "DENORMAL",
            Level.NOTE,
            max(shares.values()),
            "%",
            f"{' and '.join(text)} are denormal numbers, which can take a CPU ten times as long",
            "call torch.set_flush_denormal(True) where the network is made, or use trained weights",
        )


def recompiled(case: Case) -> Iterator[Flag]:
    """Recompilation in the timed part."""
    again = case.outcome.effective.get("recompilations")
    if again:
        yield Flag(
            "RECOMPILED",
            Level.INVALID,
            again,
            "times",
            f"the network was recompiled {again} times during the timed part",
            "raise timing.warmup, or use TORCH_LOGS=recompiles to see what changes",
            case.trial.timing.warmup + again,
        )


def graph_breaks(case: Case) -> Iterator[Flag]:
    """Graph breaks, at which compiled code falls back to Python."""
    breaks = case.outcome.effective.get("graph_breaks")
    if breaks:
        yield Flag(
            "GRAPH_BREAKS",
            Level.NOTE,
            breaks,
            "breaks",
            f"torch.compile fell back to Python {breaks} times",
            "see TORCH_LOGS=graph_breaks",
        )


RULES = (wrong_output, not_compared, failed_afterwards, denormal, recompiled, graph_breaks)
