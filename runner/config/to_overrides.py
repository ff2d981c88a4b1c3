"""A trial as the command line that runs it again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from runner.trial.description import Trial

MEANINGS = ("null", "true", "false", "nan", "inf")  # Hydra does not read these as text


def words_of(trial: Trial) -> list[str]:
    """The overrides for `python -m runner` that give this trial, whatever the defaults are."""
    return list(_words(trial))


def _words(trial: Trial) -> Iterator[str]:
    model = trial.model
    group = model.source or ("custom" if model.target else model.name)
    if model.task == "simulated":
        group = "simulated"
    yield f"model={spelled(group)}"
    # of a torchvision model only what can be changed is given
    by_name = group == model.name and not (model.source or model.target)
    for part in fields(model):
        if not by_name or part.name in ("weights", "kwargs", "inputs"):
            yield f"model.{part.name}={spelled(getattr(model, part.name))}"
    for name in ("input", "timing", "runtime", "engine", "pipeline", "load"):
        values = getattr(trial, name)
        for part in fields(values):
            yield f"{name}.{part.name}={spelled(getattr(values, part.name))}"
    yield f"device={trial.device_kind}"
    yield f"seed={trial.seed}"


def _escaped(text: str) -> str:
    """A text escaped to stand between quotes: no interpolation for OmegaConf, no end for Hydra.

    In both a backslash is literal except before a character that it escapes.
    """
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return re.sub(r"(\\+)\Z", r"\1\1", text)


def spelled(value: Any) -> str:
    """A value in Hydra's grammar; text is quoted so that it is taken literally."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{spelled(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(spelled, value)) + "]"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII) and value.lower() not in MEANINGS
        return value if plain else f"'{_escaped(value)}'"
    return repr(value)
