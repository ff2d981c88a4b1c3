"""The Hydra sweeper: every point composed and checked, then all of them launched.

Hydra finds it because `runner._plugins` is on sys.path and in PYTHONPATH.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from runner.config import grid
from runner.config.points import Points

SUBDIR = "hydra.sweep.subdir"  # of a point's own folder
OUR_LAUNCHERS = "hydra_plugins.runner_launchers."
MOST_MERGED = 200  # configurations kept, of some 100 KiB each


class RunnerSweeper(Sweeper):
    """Has the composed grid planned as a whole before it launches a point.

    The task function that Hydra hands on is the Command: it gives the plan, or refuses, and the
    session with the job that is launched for each point.
    """

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self._params = dict(params or {})

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra with everything a sweep needs."""
        self._context, self._master = hydra_context, config
        self._command: Any = task_function

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep that `arguments` and the params of a sweep file span."""
        search_path = self._context.config_loader.get_search_path()
        loader = FilesOnce(search_path)
        paths = [source.path.removeprefix("file://") for source in search_path.get_path()]
        files_in = [Path(path) for path in paths if "://" not in path]
        axes = grid.axes(self._params, arguments, files_in)
        if any(map(grid.is_sweep_wide, self._params)):
            # of the keys that hold for the whole sweep, Hydra knows only the command line's
            wide = [axis[0] for axis in axes if grid.is_sweep_wide(axis[0])]
            self._master = loader.load_sweep_config(self._master, wide)
        str(self._master.hydra.sweep.dir)  # settles the time in it, before the points copy it
        settings = self._master.sweep
        axes = grid.with_repeats(axes, settings.repeats, self._master.nightly.budget)
        points, order_seed = grid.points(axes), None
        if axes and axes[0][0].startswith("repeat=") and len(axes[0]) > 1:
            order_seed = settings.order_seed
            if order_seed is None:
                order_seed = zlib.crc32(str(settings.id).encode())  # the same when it goes on
            points = grid.in_rounds(points, len(axes[0]), order_seed)
        try:
            compose = partial(loader.load_sweep_config, self._master)
            all_values = Points(points, compose, loader.repository.group_exists)
            launcher = self._master.hydra.launcher
            own = str(launcher.get("_target_")).startswith(OUR_LAUNCHERS)
            plan = self._command.plan(all_values, order_seed, own, launcher.get("gpus_per_trial"))
        except (HydraException, OmegaConfBaseException) as error:
            raise grid.diagnosis(axes, error, files_in) from error
        if plan is None:
            return []
        session = self._command.session(plan)
        with session.around() as job:
            placed = [
                # quoted, as 5694e3015069 would be a number
                [*points[place], *plan.settled(trial), f"{SUBDIR}='{trial.folder}'"]
                for place, trial in zip(plan.kept.places, plan.trials, strict=True)
                if session.is_left(trial)
            ]
            # the first of them hears of a job's end after all others
            self._context.callbacks.callbacks.insert(0, ForgetConfigurations())
            launcher = Plugins.instance().instantiate_launcher(
                hydra_context=HydraContext(config_loader=loader, callbacks=self._context.callbacks),
                task_function=job,
                config=self._master,
            )
            launched = launcher.launch(placed, initial_job_idx=0) if placed else []
            # a failed trial returns its record; what raises here is a fault of the program
            records = [one.return_value for one in launched]
            session.returned(records)
        return records


class ForgetConfigurations(Callback):
    """Launchers keep what each job returns, and with it 100 KiB of configuration nobody reads."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Called by Hydra in the process that has run the job."""
        job_return.cfg = job_return.hydra_cfg = None


class ReadOnce(CachingConfigRepository):
    """Configuration files, each read once for all points; Hydra would read them for each anew."""

    def __deepcopy__(self, memo: dict[int, Any]) -> ReadOnce:
        return self  # Hydra copies its repository for each point, and what was read with it

    def load_config(self, config_path: str) -> ConfigResult | None:
        """A copy of what the file holds: composition writes into it."""
        result = copy.copy(super().load_config(config_path))
        if result is not None:
            result.config = copy.deepcopy(result.config)
        return result


class FilesOnce(ConfigLoaderImpl):
    """A config loader that merges the files of each choice once, and sets a point's values in it.

    Merging takes ten times as long as all the rest, and most points differ in values only.
    """

    def __init__(self, search_path: Any) -> None:
        super().__init__(search_path)
        self.repository = ReadOnce(self.repository)  # type: ignore[assignment]
        self._merged: dict[tuple[str, ...], DictConfig] = {}

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """The configuration of a point, as Hydra composes it."""
        job = master_config.hydra.job
        given = list(master_config.hydra.overrides.hydra)
        parsed, repository = self._parse_overrides_and_create_caching_repo(
            job.config_name, [*given, *sweep_overrides]
        )
        own = parsed[len(given) :]
        hydras = [one for one in own if one.is_hydra_override()]
        if any(one.key_or_group != SUBDIR for one in hydras):  # what else they change is not known
            return super().load_sweep_config(master_config, sweep_overrides)
        files = [
            one
            for one in own
            if repository.group_exists(one.key_or_group) and not isinstance(one.value(), dict)
        ]
        choice = tuple(str(one.input_line) for one in files)
        if choice not in self._merged:
            if len(self._merged) == MOST_MERGED:
                self._merged.clear()
            self._merged[choice] = super().load_sweep_config(master_config, list(choice))
        config = copy.deepcopy(self._merged[choice])
        self._apply_overrides_to_config([one for one in own if one not in files], config)
        keys = [one for one in own if one not in hydras]
        config.hydra.overrides.task = [one.input_line for one in keys]
        config.hydra.overrides.hydra += [one.input_line for one in hydras]
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=keys, **config.hydra.job.config.override_dirname
        )
        return config

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_merged": {}}
