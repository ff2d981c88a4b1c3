"""The points of a sweep in their order, as plain values.

Hydra composes each choice of files once. Points that choose the same files differ in plain values
only, which are set in a copy of that composition; anything else is composed by Hydra.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config import grid
from runner.config.grid import Point
from runner.config.values import Values, plain, values_of

Compose = Callable[[Sequence[str]], DictConfig]
SETTLED = re.compile(r"\$\{(now|oc\.env):[^$]*\}")  # does not refer to another key
MAX_COMPOSED = 500  # configurations kept, of some 100 KiB each


class Points:
    """Computes the values of points; `compose` is Hydra's, `folders` have the files it reads."""

    def __init__(self, compose: Compose, folders: Sequence[Path]) -> None:
        self._compose, self._folders = compose, folders
        self._parser = OverridesParser.create()
        self._given = cache(self._read)  # the same few overrides occur in many points
        self._composed: dict[tuple[str, ...], _Composed] = {}

    def values(self, point: Point) -> Values:
        """The values of a point.

        Raises what Hydra and OmegaConf raise for what can't be composed, UsageError for keys
        without a value.
        """
        given = [self._given(word) for word in point]
        # points that set different keys must not see each other's values
        alike = tuple(one.key if one.is_plain else one.word for one in given)
        if alike not in self._composed:
            if len(self._composed) == MAX_COMPOSED:
                self._composed.clear()
            self._composed[alike] = _Composed(self._compose(point))
        try:
            return self._composed[alike].values([one for one in given if one.is_plain])
        except (OmegaConfBaseException, KeyError, TypeError):
            # Hydra reports the error, or handles keys with dots or dictionaries
            return values_of(self._compose(point))

    def _read(self, word: str) -> _Given:
        override = self._parser.parse_override(word)
        key, value = override.key_or_group, override.value()
        parts = value if isinstance(value, list) else [value]
        is_plain = (
            override.type is OverrideType.CHANGE
            and override.package is None
            and not key.startswith("hydra.")
            and not grid.is_group(key, self._folders)
            and all(part is None or isinstance(part, (int, float, str)) for part in parts)
            and "$" not in word
        )
        return _Given(word, key, value, is_plain)


@dataclass(frozen=True)
class _Given:
    """An override; a plain one sets an existing key to a value without interpolation."""

    word: str
    key: str
    value: Any
    is_plain: bool


class _Composed:
    """One composition, in which the values of one point after another are set."""

    def __init__(self, config: DictConfig) -> None:
        self._config, self._values = config, values_of(config)
        self._references = list(_references(OmegaConf.to_container(config, resolve=False)))

    def values(self, given: Sequence[_Given]) -> Values:
        """The values of a point. Raises OmegaConfBaseException for what is wrong with them."""
        for one in given:
            OmegaConf.update(self._config, one.key, one.value)
        values, copied = dict(self._values), set[str]()
        for key in [*(one.key for one in given), *self._references]:
            *groups, name = key.split(".")
            place, path = values, ""
            for group in groups:
                path = f"{path}.{group}"
                if path not in copied:
                    copied.add(path)
                    place[group] = dict(place[group])
                place = place[group]
            place[name] = plain(OmegaConf.select(self._config, key, throw_on_missing=True))
        return values


def _references(raw: Any, prefix: str = "") -> Iterator[str]:
    """The keys whose values refer to other keys."""
    for name, value in raw.items():
        key = f"{prefix}{name}"
        if key == "hydra":
            continue
        if isinstance(value, dict):
            yield from _references(value, f"{key}.")
        elif "${" in str(value) and not SETTLED.fullmatch(str(value)):
            yield key
