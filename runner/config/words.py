"""A trial as the words of a command line that runs it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from runner.trial.description import Trial


def words_of(trial: Trial) -> list[str]:
    """The words for `python -m runner` that make this trial, whatever the defaults are."""
    return list(_words(trial))


def _words(trial: Trial) -> Iterator[str]:
    model = trial.model
    group = model.source or ("custom" if model.target else model.name)
    if model.task == "simulated":
        group = "simulated"
    yield f"model={spelled(group)}"
    own = group == model.name  # what its file says is not said again, but for what can be changed
    for part in fields(model):
        if not own or part.name in ("weights", "kwargs", "inputs"):
            yield f"model.{part.name}={spelled(getattr(model, part.name))}"
    for name in ("input", "timing", "runtime", "engine"):
        values = getattr(trial, name)
        for part in fields(values):
            yield f"{name}.{part.name}={spelled(getattr(values, part.name))}"
    yield f"device={trial.device_kind}"
    yield f"seed={trial.seed}"


def spelled(value: Any) -> str:
    """A value in Hydra's grammar: text in quotes, so that no word of it means anything."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{spelled(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(spelled, value)) + "]"
    if isinstance(value, str):
        text = value.replace("\\", "\\\\").replace("'", "\\'")
        return value if value.isidentifier() else f"'{text}'"
    return repr(value)
