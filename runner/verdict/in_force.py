"""Flags of settings: is what was requested what really ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner.contract import Level
from runner.trial.rules import PROVIDERS
from runner.verdict.flag import Case, Flag

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
FLOATING = ("float32", "float64", "bfloat16", "float16")


@dataclass(frozen=True)
class Setting:
    """A setting by its key: the requested and the actual value, as on the command line."""

    key: str
    asked: object
    found: object


def not_in_force(case: Case) -> Iterator[Flag]:
    """Requested settings that were not in force."""
    wrong = [one for one in settings(case) if one.found is not None and one.found != one.asked]
    if wrong:
        text = ", ".join(f"{one.key}={_word(one.asked)} ran as {_word(one.found)}" for one in wrong)
        keys = " and ".join(one.key for one in wrong)
        yield Flag(
            "NOT_IN_FORCE",
            Level.INVALID,
            None,
            "",
            f"not every requested setting was in force: {text}",
            f"request a supported value, or find what changes {keys}: the network, a library, or "
            "an environment variable",
        )


def other_dtype(case: Case) -> Iterator[Flag]:
    """A network with weights of another type than fp32."""
    found = _words(case.outcome.effective.get("dtype"))
    if case.trial.runtime.precision == "fp32" and found and "float32" not in found:
        names = ", ".join(found)
        yield Flag(
            "OWN_DTYPE",
            Level.NOTE,
            None,
            "",
            f"the network's own weights are {names}, regardless of runtime.precision",
            "compare it only with others of that type",
        )


def settings(case: Case) -> Iterator[Setting]:
    """All requested settings that can be read back."""
    runtime, effective = case.trial.runtime, case.outcome.effective
    if case.trial.model.task == "simulated":
        return
    if runtime.threads is not None:
        for fact in ("threads", "engine_threads"):
            yield Setting("runtime.threads", runtime.threads, effective.get(fact))
    if runtime.interop_threads is not None:
        found = effective.get("interop_threads")
        yield Setting("runtime.interop_threads", runtime.interop_threads, found)
    yield Setting("runtime.precision", runtime.precision, _precision(case, effective))
    if runtime.channels_last:
        yield Setting("runtime.channels_last", True, effective.get("channels_last"))
    if runtime.compile != "off" and effective.get("graphs") == 0:
        yield Setting("runtime.compile", runtime.compile, "off")
    if runtime.deterministic:
        yield Setting("runtime.deterministic", True, effective.get("deterministic"))
    if runtime.cudnn_benchmark:
        yield Setting("runtime.cudnn_benchmark", True, effective.get("cudnn_benchmark"))
    parts = effective.get("engine_parts")
    if parts is not None and not parts["tensorrt"]:
        yield Setting("engine", case.trial.engine.name, "eager")
    used = effective.get("providers") or []
    for word in (case.trial.engine.providers or []) if used else []:
        if PROVIDERS.get(word, word) not in used:
            yield Setting("engine.providers", word, ", ".join(used))


def _precision(case: Case, effective: Mapping[str, Any]) -> str | None:
    """The precision in force, as runtime.precision names it; None if unknown."""
    asked, engine = case.trial.runtime.precision, effective.get("engine_precision")
    if engine is not None:
        return str(engine)
    if asked.startswith("amp_") and "autocast" in effective:
        dtype = effective["autocast"]
        return next((f"amp_{word}" for word, name in DTYPES.items() if name == dtype), "fp32")
    if case.trial.device_kind == "cuda" and case.trial.engine.name == "eager":
        tf32 = [effective.get(name) for name in ("tf32_matmul", "tf32_cudnn")]
        if asked in ("fp32", "tf32") and None not in tf32:
            return "tf32" if all(tf32) else "fp32" if not any(tf32) else "tf32 in part"
    floating = [name for name in _words(effective.get("dtype")) if name in FLOATING]
    if asked not in DTYPES or asked == "fp32" or not floating:
        return None  # a network with weights of its own type is handled elsewhere
    if DTYPES[asked] in floating:
        return asked
    return next((word for word, name in DTYPES.items() if name in floating), floating[0])


def _words(dtypes: object) -> list[str]:
    return dtypes.split(", ") if isinstance(dtypes, str) else []


def _word(value: object) -> str:
    return {"True": "true", "False": "false"}.get(str(value), str(value))


RULES = (not_in_force, other_dtype)
