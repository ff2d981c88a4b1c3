"""A Hydra launcher whose jobs are processes of their own, as joblib's and submitit's are."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import cloudpickle
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher


class Elsewhere(Launcher):
    """Runs each job in a process that has inherited nothing."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Called by Hydra."""
        self.given = (hydra_context, task_function, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Two jobs at a time."""
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            sent = cloudpickle.dumps((*self.given, Singleton.get_state()))  # as joblib does
            jobs = [
                pool.submit(one, sent, list(overrides), number)
                for number, overrides in enumerate(job_overrides)
            ]
            return [job.result() for job in jobs]


def one(sent: bytes, overrides: list[str], number: int) -> JobReturn:
    """Compose and run a point, as a launcher's process does."""
    setup_globals()
    context, job, config, state = cloudpickle.loads(sent)
    Singleton.set_state(state)
    composed = context.config_loader.load_sweep_config(config, overrides)
    composed.hydra.job.id = composed.hydra.job.num = number
    return run_job(
        hydra_context=context,
        task_function=job,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


ConfigStore.instance().store(
    group="hydra/launcher", name="elsewhere", node={"_target_": "hydra_plugins.elsewhere.Elsewhere"}
)
