"""The plan of a command line, for commands that do not run it as a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from runner.config import grid
from runner.config.diagnosis import diagnosis
from runner.config.hydra_door import REFUSALS, flags_last, parsed, run_hydra
from runner.config.presets import won_back
from runner.config.spanned import grid_of
from runner.contract import UsageError
from runner.host.secrets import know_command
from runner.sweep.plan import Inspect, Plan, make_plan


class _Planner:
    """Hydra's task function, to which the sweeper passes the overrides."""

    plan: Plan | None = None

    def __init__(self, inspect: Inspect | None) -> None:
        self._inspect = inspect

    def sweep(
        self,
        loader: ConfigLoader,
        config: DictConfig,
        params: Mapping[str, Any],
        arguments: Sequence[str],
    ) -> None:
        """See runner.sweep.command.Command."""
        grid = grid_of(loader, config, params, arguments)
        self.plan = make_plan(grid, Path.cwd(), self._inspect)

    def __call__(self, cfg: DictConfig) -> None:
        """Never reached. Raises RuntimeError."""
        raise RuntimeError("hydra.mode must be MULTIRUN, as conf/config.yaml has it")


def plan_of(words: Sequence[str], inspect: Inspect | None = None) -> Plan:
    """The plan of `python -m runner WORDS` in the current folder.

    `inspect` answers what only a process with torch can know. Raises UsageError.
    """
    words = flags_last(words)
    given = parsed(words)
    axes = grid.axes({}, given.overrides, given.folders)
    one_each = {key: found for key, found in axes.items() if len(found) == 1}
    won = won_back([found[0] for found in axes.values()], one_each, given.folders)
    know_command(words)
    planner = _Planner(inspect)
    try:
        with redirect_stdout(stderr):
            run_hydra([*won, *words], planner)
    except REFUSALS as error:
        raise diagnosis(axes, error, given.folders) from error
    if planner.plan is None:
        raise UsageError()  # a flag that only shows something, as --cfg
    return planner.plan
