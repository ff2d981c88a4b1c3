"""Secrets, kept out of everything that is written or shown.

The process's environment variables are never copied; of the command line, values
that carry a connection string are blanked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runner.trial.description import Model, Trial

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_SECRET = r"password|passwd|token|secret|api_key|apikey"
_SECRET_KEYS = re.compile(rf"^(\+*[\w.]*(?:uri|webhook|{_SECRET})[\w.]*=).+", re.I)
_SECRET_PAIRS = re.compile(rf"\b(\w*(?:{_SECRET})['\"]?\s*[=:]\s*)[^\s&,}}]+", re.I)
_SECRET_NAME = re.compile(_SECRET, re.I)
HIDDEN = "***"


def redact(text: str) -> str:
    """`text` with credentials of URLs and of key=value pairs blanked."""
    return _SECRET_PAIRS.sub(rf"\1{HIDDEN}", _CREDENTIALS.sub(f"{HIDDEN}@", text))


def redacted_values(values: Any) -> Any:
    """Nested dictionaries and lists with all text that stands under a secret's name blanked."""
    if isinstance(values, dict):
        return {
            name: HIDDEN
            if _SECRET_NAME.search(str(name)) and isinstance(value, str)
            else redacted_values(value)
            for name, value in values.items()
        }
    if isinstance(values, (list, tuple)):
        return [redacted_values(value) for value in values]
    return redact(values) if isinstance(values, str) else values


def redacted_trial(trial: Trial) -> Trial:
    """The trial as it may be shown and kept: secrets in what its model is made with blanked."""
    model = Model(**redacted_values(vars(trial.model)))
    return trial if model == trial.model else replace(trial, model=model)


def redacted_command(command: Sequence[str]) -> list[str]:
    """A command line, every connection string and secret in it blanked."""
    return [redact(_SECRET_KEYS.sub(rf"\1{HIDDEN}", word)) for word in command]
