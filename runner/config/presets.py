"""Presets chosen on the command line win over the values in a sweep's file.

Hydra applies the sweep's file last, whoever has chosen the others. So the keys that both files
have are given once more, as overrides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner.config.grid import Axes, is_group
from runner.config.to_overrides import spelled

SWEEP = "sweep"


def won_back(words: Sequence[str], typed: Axes, folders: Sequence[Path]) -> list[str]:
    """The overrides to add so that the files that were `typed` win over the sweep's.

    A key that was typed itself needs none.
    """
    chosen = dict(word.lstrip("+").partition("=")[::2] for word in words)
    keys = {key.lstrip("+") for key in typed}
    groups = [key for key in keys if key != SWEEP and key in chosen and is_group(key, folders)]
    of_sweep = _read(SWEEP, chosen.get(SWEEP, ""), folders)
    return [
        f"{group}.{key}={value}"
        for group in sorted(groups)
        if isinstance(own := of_sweep.get(group), dict)
        for key, value in _common(own, _read(group, chosen[group], folders))
        if not any(f"{group}.{key}.".startswith(f"{given}.") for given in keys - {group})
    ]


def _read(group: str, name: str, folders: Sequence[Path]) -> Mapping[str, Any]:
    """The content of a file; empty if it can't be read, which Hydra reports."""
    for folder in folders:
        if name and (file := folder / group / f"{name}.yaml").is_file():
            try:
                values: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
            except (OmegaConfBaseException, YAMLError, UnicodeDecodeError):
                return {}
            return values if isinstance(values, dict) else {}
    return {}


def _common(own: Mapping[str, Any], preset: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The dotted keys that both have, with the preset's values."""
    for key in own.keys() & preset.keys():
        value = preset[key]
        if isinstance(value, dict) and isinstance(own[key], dict):
            yield from ((f"{key}.{name}", text) for name, text in _common(own[key], value))
        else:
            refers = isinstance(value, str) and "${" in value
            yield str(key), f"'{value}'" if refers else spelled(value)
