"""The command line: from its words through Hydra to an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from runner import __version__
from runner.config import grid
from runner.config.grid import NESTING
from runner.config.hydra_door import REFUSALS, Words, flags_last, help_text, parsed, run_hydra
from runner.config.presets import won_back
from runner.contract import ExitCode, LauncherFailed, Problem, RunnerError, UsageError
from runner.host.secrets import know_command, redact, redacted_command, redacted_yaml
from runner.records.printable import in_short, printable
from runner.sweep.interrupt import Interrupt


def run_command(words: Sequence[str], interrupt: Interrupt) -> int:
    """Run a command line (without the program's name); its exit code."""
    axes: grid.Axes = {}
    given = Words((), (), asks_help=False, asks_config=False, all_files=False)
    try:
        if "--version" in words:
            print(f"runner {__version__}")
            return ExitCode.OK
        if any("sweep.resume" in word for word in words):
            from runner.sweep.resume import expand_resume

            words = expand_resume(words)
        words = flags_last(words)
        given = parsed(words)
        axes = _axes(given)
        if given.asks_help:
            print(redacted_yaml(help_text(given, [swept[0] for swept in axes.values()])))
            return ExitCode.OK
        one_each = {key: found for key, found in axes.items() if len(found) == 1}
        won = won_back([found[0] for found in axes.values()], one_each, given.folders)
        know_command(words)
        command = Command(redacted_command(["runner", *words]), interrupt)
        if given.asks_config:
            with redirect_stdout(StringIO()) as shown:
                run_hydra([*won, *words], command)
            print(redacted_yaml(shown.getvalue()), end="")
        else:
            run_hydra([*won, *words], command)
    except (UsageError, *REFUSALS) as error:
        if interrupt.seen:
            raise  # a library has turned Ctrl-C into this error
        return _refuse(error if isinstance(error, UsageError) else _usage_error(axes, error, given))
    except RecursionError:
        return _refuse(UsageError(Problem("", "the configuration is nested too deeply", NESTING)))
    except BrokenPipeError:  # for example `... --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, LauncherFailed) as error:
        print(f"runner: {in_short(printable(redact(_explained(error))))}", file=sys.stderr)
        too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
        return ExitCode.USAGE if too_long else ExitCode.FAILED
    return command.exit_code


def _axes(given: Words) -> grid.Axes:
    """The axes of a command line. Raises UsageError for what can be refused without Hydra."""
    axes = grid.axes({}, given.overrides, given.folders)
    if given.all_files:
        axes, unknown = grid.without_unknown_files(axes, given.folders)
        if unknown:
            from runner.config.diagnosis import problems_of

            raise UsageError(*unknown, *(problems_of(axes, given.folders) if axes else ()))
    for key, words in axes.items():
        if key.startswith("hydra") and len(words) > 1:
            found = f"{key} is swept, but applies to the whole sweep"
            raise UsageError(Problem(key, found, "give one"))
    return axes


def _usage_error(axes: grid.Axes, error: Exception, given: Words) -> UsageError:
    from runner.config.diagnosis import diagnosis

    swept = [words[0] for words in axes.values() if len(words) > 1]
    if swept and given.asks_config:
        return UsageError(
            Problem(
                "--cfg",
                f"--cfg shows one configuration, but {swept[0]} is swept",
                "give one value, or list the trials by dry_run=true",
            )
        )
    return diagnosis(axes, error, given.folders)


def _explained(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and not Path(error.filename or ".").parent.exists():
        remedy = "check what removed it, for example the network of the last trial"
        return f"{error.filename} can't be written: its folder is gone; {remedy}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = error.filename or "a file"
        remedy = "free some space, then resume by python -m runner sweep.resume=latest"
        return f"{what} can't be written: {error.strerror}; {remedy}"
    return str(error)


def _refuse(error: UsageError) -> int:
    heading = "runner: nothing was run" + (
        f", {len(error.problems)} problems:" if len(error.problems) > 1 else ":"
    )
    problems = [in_short(printable(redact(str(problem)))) for problem in error.problems]
    lines = [heading, *(f"  - {problem}" for problem in problems)]
    print("\n".join(lines), file=sys.stderr)
    return ExitCode.USAGE


class Command:
    """Hydra's task function, to which the sweeper passes the overrides of the sweep."""

    def __init__(self, words: Sequence[str], interrupt: Interrupt) -> None:
        self._words, self._interrupt = words, interrupt
        self.exit_code = ExitCode.OK  # also for --cfg, without a sweep

    def sweep(
        self,
        loader: ConfigLoader,
        config: DictConfig,
        params: Mapping[str, Any],
        arguments: Sequence[str],
    ) -> None:
        """Plan the sweep and run it, or list its trials for a dry run. Raises UsageError."""
        is_json = str(config.format) == "json"
        out, shown = sys.stdout, sys.stderr if is_json else sys.stdout
        with redirect_stdout(shown):  # also the output of a network in this process
            self._sweep(loader, config, params, arguments, out)

    def _sweep(
        self,
        loader: ConfigLoader,
        config: DictConfig,
        params: Mapping[str, Any],
        arguments: Sequence[str],
        out: TextIO,
    ) -> None:
        from runner.config.spanned import grid_of
        from runner.sweep.plan import make_plan
        from runner.terminal.lines import Terminal

        console = Terminal(highlight=False, width=None if sys.stdout.isatty() else 140)
        plan = make_plan(grid_of(loader, config, params, arguments), Path.cwd())
        if plan.settings.dry_run:
            if plan.settings.format == "json":
                print(plan.as_json(), file=out)
                return
            for line in plan.listing():
                console.print(line, soft_wrap=True)
            return
        from runner.sweep.session import Session

        try:
            session = Session(plan, self._words, self._interrupt, console, out)
            self.exit_code = session.run()
        except Exception as error:
            launcher = type(plan.launcher)
            if isinstance(error, RunnerError) or launcher.__module__.startswith("runner."):
                raise
            name = f"{launcher.__module__}.{launcher.__qualname__}"
            raise LauncherFailed(f"{name} failed: {type(error).__name__}: {error}") from error

    def __call__(self, cfg: DictConfig) -> None:
        """Never reached: the sweeper does everything. Raises RuntimeError."""
        raise RuntimeError("hydra.mode must be MULTIRUN, as conf/config.yaml has it")
