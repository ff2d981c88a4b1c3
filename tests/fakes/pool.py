"""A launcher of a user's own, as docs/extending.md has it: a pool of processes on this machine."""

POOL = '''\
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from runner.contract import Status
from runner.launchers.job import Lost, run_point, with_cut_ones
from runner.launchers.launcher import Launcher


class Pool(Launcher):
    """So many trials at once, which is for networks that wait, not for timing."""

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def run(self, jobs):
        return with_cut_ones(jobs, self._results(jobs))

    def _results(self, jobs):
        with ProcessPoolExecutor(self._processes, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(run_point, job): job for job in jobs}
            try:
                for one in as_completed(running):
                    error = one.exception()
                    result = Lost(Status.FAILED, str(error)) if error else one.result()
                    yield running[one].trial, result
            except BaseException:  # Ctrl-C: what runs writes down what it has, the rest is left
                pool.shutdown(cancel_futures=True)
                raise
'''
YAML = """\
# Some trials at once on this machine:  python -m runner --config-dir mine hydra/launcher=pool
_target_: pool.Pool
processes: 2
"""
