"""The Hydra sweeper, to which Hydra passes the overrides of a sweep.

Hydra finds it because `runner._plugins` is on sys.path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RunnerSweeper(Sweeper):
    """Passes the overrides on to the Command, which Hydra takes for the task function of jobs."""

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self._params = dict(params or {})

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra with everything a sweep needs."""
        self._loader, self._config = hydra_context.config_loader, config
        self._command: Any = task_function

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep of `arguments` and the params of a sweep file."""
        self._command.sweep(self._loader, self._config, self._params, arguments)
