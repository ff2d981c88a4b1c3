"""The points of a sweep in their order, as plain values: Hydra composes each choice of files once.

Between two points that choose the same files only plain values differ, and these are set in what
Hydra has composed. What a plain value can't stand for goes Hydra's way as well.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config import grid
from runner.config.diagnosis import diagnosis
from runner.config.grid import Point
from runner.config.values import Values, plain, values_of

Compose = Callable[[Sequence[str]], DictConfig]
MOST_COMPOSED = 500  # configurations kept, of some 100 KiB each


@dataclass(frozen=True)
class Grid:
    """All that a sweep spans: its points in their order, which `order_seed` decided if in rounds.

    `launcher` are the settings of where the trials run, `launchers` the names there are.
    """

    points: Iterable[Values]
    order_seed: int | None
    launcher: Mapping[str, Any]
    launchers: tuple[str, ...]


def grid_of(
    loader: ConfigLoader, master: DictConfig, params: Mapping[str, str], arguments: Sequence[str]
) -> Grid:
    """The grid of a command line's `arguments` and a sweep file's `params`.

    `master` is the configuration without what varies. Raises UsageError.
    """
    paths = [source.path.removeprefix("file://") for source in loader.get_search_path().get_path()]
    folders = [Path(path) for path in paths if "://" not in path]
    axes = grid.axes(params, arguments, folders)
    try:
        if any(map(grid.is_sweep_wide, params)):
            # of the keys that hold for the whole sweep, Hydra knows only the command line's
            wide = [words[0] for key, words in axes.items() if grid.is_sweep_wide(key)]
            master = loader.load_sweep_config(master, wide)
        str(master.hydra.sweep.dir)  # settles the time in it, before the points copy it
        axes = grid.with_repeats(axes, master.sweep.repeats, master.nightly.budget)
        points, order_seed = grid.points(axes), None
        if (rounds := len(axes.get(grid.REPEAT, ()))) > 1:
            order_seed = master.sweep.order_seed
            if order_seed is None:
                order_seed = zlib.crc32(str(master.sweep.id).encode())  # the same on a resume
            points = grid.in_rounds(points, rounds, order_seed)
        values = Points(
            points,
            lambda point: loader.load_sweep_config(master, list(point)),
            lambda key: any((folder / key).is_dir() for folder in folders),
        )
        launcher = plain(master.hydra.launcher)
    except (HydraException, OmegaConfBaseException) as error:
        raise diagnosis(axes, error, folders) from error
    names = sorted({path.stem for one in folders for path in one.glob("hydra/launcher/*.yaml")})
    return Grid(_diagnosed(values, axes, folders), order_seed, launcher, tuple(names))


def _diagnosed(points: Points, axes: grid.Axes, folders: Sequence[Path]) -> Iterator[Values]:
    """The values of the points. Raises UsageError, with all that is wrong with the grid."""
    try:
        yield from points
    except (HydraException, OmegaConfBaseException) as error:
        raise diagnosis(axes, error, folders) from error


class Points:
    """Iterates over the values of all points.

    `compose` is Hydra's, `is_group` says whether a key names a group of files.
    """

    def __init__(
        self, points: Sequence[Point], compose: Compose, is_group: Callable[[str], bool]
    ) -> None:
        self._points, self._compose, self._is_group = points, compose, is_group
        self._parser = OverridesParser.create()
        self._given = cache(self._read)  # the same few overrides stand in many points
        self._composed: dict[tuple[str, ...], _Composed] = {}

    def __iter__(self) -> Iterator[Values]:
        """Raises HydraException or OmegaConfBaseException for what can't be composed."""
        for point in self._points:
            given = [self._given(word) for word in point]
            # of points that set other keys, none may see what another has set
            alike = tuple(one.key if one.is_plain else one.word for one in given)
            if alike not in self._composed:
                if len(self._composed) == MOST_COMPOSED:
                    self._composed.clear()
                self._composed[alike] = _Composed(self._compose(point))
            try:
                yield self._composed[alike].values([one for one in given if one.is_plain])
            except OmegaConfBaseException:
                yield values_of(self._compose(point))  # which says what is wrong, as Hydra does

    def _read(self, word: str) -> _Given:
        override = self._parser.parse_override(word)
        key, value = override.key_or_group, override.value()
        parts = value if isinstance(value, list) else [value]
        is_plain = (
            override.type is OverrideType.CHANGE
            and override.package is None
            and not key.startswith("hydra.")
            and not self._is_group(key)
            and all(part is None or isinstance(part, (int, float, str)) for part in parts)
            and "$" not in word
        )
        return _Given(word, key, value, is_plain)


@dataclass(frozen=True)
class _Given:
    """An override; a plain one sets a key that is there to what needs no resolving."""

    word: str
    key: str
    value: Any
    is_plain: bool


class _Composed:
    """One composition, in which the values of a point after the other are set."""

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
    """The keys whose values refer to others, which may be among those that differ."""
    for name, value in raw.items():
        key = f"{prefix}{name}"
        if key == "hydra":
            continue
        if isinstance(value, dict):
            yield from _references(value, f"{key}.")
        elif "${" in str(value):
            yield key
