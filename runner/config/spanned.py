"""The grid of a sweep as Hydra passes it: its points in their order, as plain values."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from runner.config import grid
from runner.config.diagnosis import diagnosis
from runner.config.points import Points
from runner.config.presets import won_back
from runner.config.values import Values, plain
from runner.contract import Problem, UsageError


@dataclass(frozen=True)
class Grid:
    """The grid of a sweep: its points in their order, shuffled by `order_seed` if in rounds.

    Iterating over the points raises UsageError with all their problems. `launcher` has
    the settings of the launcher, `launchers` the names that exist.
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
            # Hydra itself takes keys of the whole sweep from the command line only
            wide = [words[0] for key, words in axes.items() if grid.is_sweep_wide(key)]
            master = loader.load_sweep_config(master, wide)
        # reading it resolves the time in it before the points copy it
        if str(master.hydra.sweep.dir) != f"{master.output_dir}/{master.sweep.id}":
            key = "hydra.sweep.dir"
            raise UsageError(Problem(key, f"{key} is set in a file", grid.OWN["hydra.sweep"]))
        axes = grid.with_repeats(axes, master.sweep.repeats, master.nightly.budget)
        points, order_seed = grid.points(axes), None
        if (rounds := len(axes.get(grid.REPEAT, ()))) > 1:
            order_seed = master.sweep.order_seed
            if order_seed is None:
                order_seed = zlib.crc32(str(master.sweep.id).encode())  # the same on a resume
            points = grid.in_rounds(points, rounds, order_seed)
        typed = grid.axes({}, arguments, folders)

        def compose(point: Sequence[str]) -> DictConfig:
            won = won_back(point, typed, folders)
            return loader.load_sweep_config(master, [*point, *won])

        composed = Points(compose, folders)
        launcher = plain(master.hydra.launcher)
    except (HydraException, OmegaConfBaseException) as error:
        raise diagnosis(axes, error, folders) from error
    names = sorted({path.stem for one in folders for path in one.glob("hydra/launcher/*.yaml")})

    def values() -> Iterator[Values]:
        try:
            yield from map(composed.values, points)
        except (HydraException, OmegaConfBaseException) as error:
            raise diagnosis(axes, error, folders) from error

    return Grid(values(), order_seed, launcher, tuple(names))
