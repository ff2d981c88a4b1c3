"""A point of a sweep, packed so that any process can compose and run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cloudpickle
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals


def pack(context: Any, job: Any, config: Any, overrides: Sequence[str], number: int) -> bytes:
    """All that a process needs: Hydra's context and state, the sweep's job, the point."""
    state = Singleton.get_state()
    state["instances"].pop(HydraConfig, None)  # that of the sweep itself, with all that was typed
    packed: bytes = cloudpickle.dumps((context, job, config, state, list(overrides), number))
    return packed


def run_point(point: bytes) -> Any:
    """Compose and run a point, in whatever process; its record."""
    setup_globals()
    context, job, config, state, overrides, number = cloudpickle.loads(point)
    Singleton.set_state(state)
    composed = context.config_loader.load_sweep_config(config, overrides)
    composed.hydra.job.id = composed.hydra.job.num = number
    done = run_job(
        hydra_context=context,
        task_function=job,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        configure_logging=False,
    )
    return done.return_value
