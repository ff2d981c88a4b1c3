"""Converts the outcome of a trial into what a record can store and anything can show."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from runner.records.printable import cut, printable
from runner.records.record import Outcome

MAX_MESSAGE_LENGTH, MAX_TRACE_LENGTH = 2_000, 20_000  # characters; worker.log has all of them


def writable(outcome: Outcome) -> Outcome:
    """The outcome with finite numbers and printable text only.

    A number that is not finite becomes null, with the reason in `why_null`; a series with one is
    emptied. Error messages and traces are cut.
    """
    why_null = dict(outcome.why_null)
    values = {
        name: _clean(getattr(outcome, name), name, why_null)
        for name in ("figures", "effective", "environment", "contention", "error")
    }
    series = {}
    for name, numbers in outcome.series.items():
        broken = next((number for number in numbers if not math.isfinite(number)), None)
        series[name] = numbers if broken is None else []
        if broken is not None:
            why_null[f"series.{name}"] = _no_number(broken)
    if values["error"]:
        longest = {"trace": MAX_TRACE_LENGTH}
        values["error"] = {
            name: cut(text, longest.get(name, MAX_MESSAGE_LENGTH))
            for name, text in values["error"].items()
        }
    reasons = {name: cut(printable(why), MAX_MESSAGE_LENGTH) for name, why in why_null.items()}
    return replace(outcome, **values, series=series, why_null=reasons)


def cleaned(values: Any) -> Any:
    """The same nested values with printable texts and finite numbers."""
    return _clean(values, "", {})


def _clean(value: Any, name: str, why_null: dict[str, str]) -> Any:
    if isinstance(value, dict):
        parts = ((printable(str(key)), part) for key, part in value.items())
        return {key: _clean(part, f"{name}.{key}", why_null) for key, part in parts}
    if isinstance(value, (list, tuple)):
        return [_clean(part, name, why_null) for part in value]
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float) and not math.isfinite(value):
        why_null[name] = _no_number(value)
        return None
    return value


def _no_number(value: float) -> str:
    return f"it is {value}, which is not a finite number"
