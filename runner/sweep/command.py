"""The command line: from what was typed through Hydra to an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from yaml import YAMLError

from runner.config import grid
from runner.config.parse import Values
from runner.config.schema import CONF, PLUGINS, register_schema
from runner.host.secrets import redact, redacted_command
from runner.sweep.interrupt import Interrupt
from runner.sweep.plan import Plan, make_plan
from runner.sweep.resume import typed_again
from runner.sweep.session import FAILED, OK, USAGE, Session
from runner.trial.rules import Problem, UsageError


def run_command(interrupt: Interrupt) -> int:
    """Run the command line in sys.argv; its exit code."""
    # launchers that start processes of their own need the sweeper's package there
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [os.environ.get("PYTHONPATH"), PLUGINS])
    )
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here as exceptions, to be told in one way
    register_schema()
    typed = sys.argv
    # everything is a sweep: -m changes nothing and may stand anywhere
    words = [word for word in typed[1:] if word not in ("-m", "--multirun")]
    axes: list[list[str]] = []
    folders = [CONF]
    try:
        words = typed_again(words)
        sys.argv = ["runner", *words]
        command = Command(redacted_command([typed[0], *words]), interrupt)
        given = get_args_parser().parse_args()
        if given.config_dir:
            folders.append(Path(given.config_dir).absolute())
        # refuses what can't be read, before Hydra trips over it
        axes = grid.axes({}, given.overrides, folders)
        if ["hydra.mode=RUN"] in axes:
            found = "hydra.mode=RUN goes past the check of the trials"
            raise UsageError(Problem("hydra.mode", found, "leave it out"))
        hydra.main(version_base=None, config_path=str(CONF), config_name="config")(command)()
    except (UsageError, HydraException, OmegaConfBaseException, YAMLError) as error:
        if interrupt.seen:
            raise  # a library that Ctrl-C met has made this error of it
        return _refuse(
            error if isinstance(error, UsageError) else _usage_error(axes, error, folders)
        )
    except OSError as error:
        print(f"runner: {redact(str(error))}", file=sys.stderr)
        return FAILED
    finally:
        sys.argv = typed
    return command.exit_code


def _usage_error(axes: list[list[str]], error: Exception, folders: list[Path]) -> UsageError:
    swept = [axis for axis in axes if len(axis) > 1]
    if swept and any(word.startswith(("-c", "--cfg")) for word in sys.argv[1:]):
        return UsageError(
            Problem(
                "--cfg",
                f"--cfg shows one configuration, but {swept[0][0]} is swept",
                "give one value, or list the trials by dry_run=true",
            )
        )
    return grid.diagnosis(axes, error, folders)


def _refuse(error: UsageError) -> int:
    heading = "runner: nothing was run" + (
        f", {len(error.problems)} problems:" if len(error.problems) > 1 else ":"
    )
    lines = [heading, *(f"  - {redact(str(problem))}" for problem in error.problems)]
    print("\n".join(lines), file=sys.stderr)
    return USAGE


class Command:
    """What Hydra takes for its task function: the sweeper asks it for the plan and its session."""

    def __init__(self, words: Sequence[str], interrupt: Interrupt) -> None:
        self._words, self._interrupt = words, interrupt
        self._session: Session | None = None
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)

    @property
    def exit_code(self) -> int:
        """That of the session; 0 where there was none, as after --help or a dry run."""
        return OK if self._session is None else self._session.exit_code

    def plan(
        self,
        points: Iterable[Values],
        order_seed: int | None,
        elsewhere: bool = False,
        gpus: int | None = None,
    ) -> Plan | None:
        """The checked plan; None for a dry run, which only lists it. Raises UsageError.

        `elsewhere` says that a launcher runs the trials in places of its own, with so many `gpus`
        each, if not those of this machine.
        """
        plan = make_plan(points, order_seed, Path.cwd(), elsewhere, gpus)
        if not plan.settings.dry_run:
            return plan
        costs = plan.costs()
        for number, (trial, title) in enumerate(zip(plan.trials, plan.titles, strict=True), 1):
            line = f"{number:4}  {trial.folder}  {title} on {trial.device}"
            if cost := costs.get(trial.folder):
                line += (
                    f": {cost['gflop']:.4g} GFLOP, {cost['parameters'] / 1e6:.3g} M parameters, "
                    f"{cost['weights_mib']:.3g} MiB"
                )
            self._console.print(line, soft_wrap=True)
        if plan.kept.told:
            self._console.print(plan.kept.told, soft_wrap=True)
        plural = "s" if len(plan.trials) > 1 else ""
        self._console.print(f"{len(plan.trials)} trial{plural}; a dry run: nothing was run")
        return None

    def session(self, plan: Plan) -> Session:
        """The session in which the plan is run."""
        self._session = Session(plan, self._words, self._interrupt, self._console)
        return self._session

    def __call__(self, cfg: DictConfig) -> None:
        """Never reached: the sweeper launches the session's job. Raises RuntimeError."""
        raise RuntimeError("hydra.mode must be MULTIRUN, as conf/config.yaml has it")
