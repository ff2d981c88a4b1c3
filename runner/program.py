"""One sweep, from its composed points to its table: the only file that sees everything.

torch is never imported here, and MLflow only once the whole grid has been checked
and while the worker's forkserver is loading torch.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from yaml import YAMLError

from runner import grid, tracking, worker
from runner.config import CONF_DIR, UsageError, register_schema, trial_of
from runner.devices import Devices, possible_devices
from runner.environment import host_environment, redact, redacted_command, redacted_values
from runner.interrupt import Interrupt
from runner.record import Listener, Outcome, Record, save, trial_values, utc_now
from runner.report.progress import SweepProgress
from runner.trial import KEY_RULE, Trial, varied

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def run_command(interrupt: Interrupt) -> int:
    """Run the command line in sys.argv; its exit code."""
    plugins = str(Path(__file__).parent / "_plugins")
    sys.path.append(plugins)
    # launchers that start processes of their own need the sweeper's package there
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [os.environ.get("PYTHONPATH"), plugins])
    )
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here as exceptions, to be told in one way
    register_schema()
    typed = sys.argv
    # everything is a sweep: -m changes nothing and may stand anywhere
    sys.argv = ["runner", *(word for word in typed[1:] if word not in ("-m", "--multirun"))]
    program = Program(redacted_command(typed), interrupt)
    try:
        given = get_args_parser().parse_args()
        folders = [grid.CONF, *([Path(given.config_dir).absolute()] if given.config_dir else [])]
        # refuses what can't be read, before Hydra trips over it
        axes = grid.axes({}, given.overrides, folders)
        if ["hydra.mode=RUN"] in axes:
            raise UsageError("hydra.mode=RUN goes past the check of the trials; leave it out")
        hydra.main(version_base=None, config_path=CONF_DIR, config_name="config")(program)()
    except (UsageError, HydraException, OmegaConfBaseException, YAMLError) as error:
        if interrupt.seen:
            raise  # its doing
        return _refuse(
            error if isinstance(error, UsageError) else _usage_error(axes, error, folders)
        )
    except OSError as error:
        print(f"runner: {redact(str(error))}", file=sys.stderr)
        return FAILED
    finally:
        sys.argv = typed
    return program.exit_code


def _usage_error(axes: list[list[str]], error: Exception, folders: list[Path]) -> UsageError:
    swept = [axis for axis in axes if len(axis) > 1]
    if swept and any(word.startswith(("-c", "--cfg")) for word in sys.argv[1:]):
        return UsageError(
            f"--cfg shows one configuration, but {swept[0][0]} is swept; give one value, "
            "or list the trials by dry_run=true"
        )
    return grid.diagnosis(axes, error, folders)


def _refuse(error: UsageError) -> int:
    heading = "runner: nothing was run" + (
        f", {len(error.sentences)} problems:" if len(error.sentences) > 1 else ":"
    )
    lines = [heading, *(f"  - {redact(sentence)}" for sentence in error.sentences)]
    print("\n".join(lines), file=sys.stderr)
    return USAGE


class Program:
    """The task function that Hydra runs for each point, and all that holds for the sweep."""

    def __init__(self, command: Sequence[str], interrupt: Interrupt) -> None:
        self.exit_code = OK
        self._interrupt = interrupt
        self._command = list(command)
        terminal = sys.stdout.isatty()
        self._console = Console(highlight=False, width=None if terminal else 140)
        self._folder = Path.cwd()
        self._records: list[Record] = []
        self._devices = Devices()
        self._trials: list[Trial] = []

    def plan(self, configs: Sequence[DictConfig], order_seed: int | None) -> list[str] | None:
        """Check every point and name its folder; None for a dry run.

        `order_seed` has decided the order of the points, if they come in rounds.
        Raises UsageError with the problems of all points.
        """
        self._config, self._order_seed = configs[0], order_seed
        self._devices = possible_devices()
        trials = self._checked(configs)
        asked_for_gpu = self._devices != Devices() and any(
            trial.device != "cpu" for trial in trials
        )
        models = {
            json.dumps([model.name, model.target, model.weights, model.kwargs]): model
            for model in (trial.model for trial in trials)
            if model.task != "simulated" and (model.target or model.weights or model.kwargs)
        }
        to_inspect = list(models.values())
        self._output_dir = Path(self._config.output_dir)
        self._sweep_dir = self._output_dir / str(self._config.sweep.id)
        if self._sweep_dir.exists() and not self._config.dry_run:
            raise UsageError(
                f"sweep.id is {self._config.sweep.id}, but {self._sweep_dir} exists already; "
                "give another sweep.id, so that no record is overwritten"
            )
        if asked_for_gpu or to_inspect:
            self._start_worker()
            if self._config.tracking.kind != "off" and not self._config.dry_run:
                tracking.load()  # while the forkserver loads torch
            try:
                inspection = worker.inspect(to_inspect, self._config.isolation)
            except worker.WorkerDied as death:
                raise UsageError(f"devices and models can't be looked at: {death}") from death
            self._devices = inspection.devices
            if inspection.problems:
                raise UsageError(*inspection.problems)
            trials = self._checked(configs)
        self._trials = trials
        differing = varied([redacted_values(trial_values(trial)) for trial in trials])
        self._titles = {
            trial.folder: " ".join([trial.title, *(f"{k}={v}" for k, v in settings.items())])
            for trial, settings in zip(trials, differing, strict=True)
        }
        if self._config.dry_run:
            self._list(trials)
            return None
        return [trial.folder for trial in trials]

    def _checked(self, configs: Sequence[DictConfig]) -> list[Trial]:
        trials: list[Trial] = []
        sentences: list[str] = []
        for config in configs:
            try:
                trials.append(trial_of(config, self._devices, self._folder))
            except UsageError as error:
                sentences += error.sentences
        if configs[0].get("isolation") == "none" and any(trial.repeat for trial in trials):
            sentences.append(
                "isolation=none runs everything in this process, but repeats stand for processes; "
                "leave isolation or the repeats out"
            )
        for name in grid.SWEEP_WIDE:
            if any(config.get(name) != configs[0].get(name) for config in configs):
                sentences.append(f"{name} is swept over, but holds for a whole sweep; give one")
        for folder, count in Counter(trial.folder for trial in trials).items():
            if count > 1 and not sentences:
                title = next(trial.title for trial in trials if trial.folder == folder)
                sentences.append(
                    f"{title} comes {count} times in this sweep; name it once, or time it in "
                    f"{count} processes by repeat={','.join(map(str, range(count)))}"
                )
        if sentences:
            raise UsageError(*sentences)
        return trials

    def _start_worker(self) -> None:
        if self._config.isolation == "process":
            worker.start()

    def _list(self, trials: Sequence[Trial]) -> None:
        for number, trial in enumerate(trials, 1):
            self._console.print(
                f"{number:4}  {trial.folder}  {self._titles[trial.folder]} on {trial.device}",
                soft_wrap=True,
            )
        plural = "s" if len(trials) > 1 else ""
        self._console.print(f"{len(trials)} trial{plural}; a dry run: nothing was run")

    @contextmanager
    def session(self) -> Iterator[None]:
        """Everything around the trials: folder, forkserver, MLflow before; table after."""
        if self._interrupt.seen:
            raise KeyboardInterrupt
        try:
            self._sweep_dir.mkdir(parents=True)
        except OSError as error:
            raise UsageError(
                f"output_dir is {self._output_dir}, but no folder can be made there "
                f"({error.strerror}); give one that can be written"
            ) from error
        self._start_worker()  # loads torch while MLflow loads here
        self._store, self._parent_id = None, None
        self._published, self._away = 0, ""
        self.exit_code = FAILED  # until the end has been reached
        try:
            with SweepProgress(self._console, len(self._trials)) as self._progress:
                self._host = host_environment(self._folder) | {"command": self._command}
                self._store, self._parent_id = self._open_tracking()
                import runner.verdict  # noqa: F401  (scipy: now, while the forkserver loads torch)

                yield
            if all(record.completed and record.verdict for record in self._records):
                self.exit_code = OK
        except KeyboardInterrupt:
            self.exit_code = INTERRUPTED
            raise
        finally:
            self._close_tracking()
            self._report()

    def __call__(self, cfg: DictConfig) -> Record:
        """Run one point: a fresh process, a record on disk, a run in MLflow."""
        if self._interrupt.seen:  # and lost
            raise KeyboardInterrupt
        trial = trial_of(cfg, self._devices, self._folder)
        folder = Path(HydraConfig.get().runtime.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        timing = trial.timing
        title = self._titles[trial.folder]
        self._progress.trial(title, f"{timing.warmup} warm-ups, {timing.iterations} timed")
        started_at = utc_now()
        path = folder / "record.json"

        def described(outcome: Outcome) -> Record:
            return raw_record(
                trial, title, str(cfg.sweep.id), outcome, self._host, started_at, self._order_seed
            )

        kept: list[Outcome] = []

        def measured(outcome: Outcome) -> None:
            kept.append(outcome)
            save(described(outcome), path)

        interrupt: KeyboardInterrupt | None = None
        try:
            listener = Listener(self._progress.phase, measured)
            outcome = worker.run(trial, cfg.isolation, folder / "worker.log", listener)
        except KeyboardInterrupt as pressed:
            interrupt = pressed
            error = {"type": "KeyboardInterrupt", "message": "interrupted by the user", "trace": ""}
            # an interrupted look at what has been timed costs only the look
            outcome = kept[0] if kept else Outcome("interrupted", error=error)
        record = judged(described(outcome), trial, outcome)
        save(record, path)
        self._records.append(record)
        if self._store is not None and not self._away:
            try:
                tracking.publish(self._store, record, path, self._parent_id)
                self._published += 1
            except tracking.TrackingUnavailable as reason:
                self._lose_tracking(reason)
        self._progress.done(record)
        if interrupt is not None:
            raise interrupt
        return record

    def _open_tracking(self) -> tuple[tracking.Store | None, str | None]:
        settings = self._config.tracking
        if settings.kind == "off":
            return None, None
        if settings.kind == "sqlite" and os.environ.get("MLFLOW_TRACKING_URI"):
            self._tell(
                "warning: MLFLOW_TRACKING_URI is set, but tracking=sqlite; tracking=server uses it"
            )
        try:
            store = tracking.open_store(settings.uri, settings.experiment, self._output_dir)
            if len(self._trials) == 1:
                return store, None
            name, sweep_id = self._config.sweep.name, str(self._config.sweep.id)
            return store, tracking.open_parent(store, sweep_id, name, len(self._trials))
        except tracking.TrackingUnavailable as reason:
            self._lose_tracking(reason)
            return None, None

    def _lose_tracking(self, reason: Exception) -> None:
        """Say once that MLflow is away; measuring goes on, the records are on disk."""
        self._away = str(reason)
        self._tell(f"warning: MLflow can't be used ({reason}); records are in {self._sweep_dir}")

    def _close_tracking(self) -> None:
        """Close the parent run, though MLflow was away in between: it may be back."""
        if self._store is None or self._parent_id is None:
            return
        status = {OK: "FINISHED", INTERRUPTED: "KILLED"}.get(self.exit_code, "FAILED")
        try:
            tracking.close_parent(self._store, self._parent_id, status)
        except tracking.TrackingUnavailable as reason:
            if not self._away:
                self._lose_tracking(reason)

    def _report(self) -> None:
        records = self._records
        if not records:
            return
        # scipy comes with them
        from runner.report.closing import closing_lines
        from runner.report.table import show

        show(records, self._console)
        for line in closing_lines(records, len(self._trials), self._sweep_dir):
            self._tell(line)
        missing = len(records) - self._published
        if self._away and missing:
            self._tell(
                f"MLflow    {missing} of {len(records)} trials are not there ({self._away}); their "
                "records are below the folder above"
            )
        if self._store is not None and self._published:
            if command := tracking.ui_command(self._store):
                self._tell(f"MLflow    {command}")
            self._tell(f"          {tracking.ui_link(self._store, str(self._config.sweep.id))}")
            invalid = sum(record.verdict == "invalid" for record in records)
            if invalid:
                self._tell(
                    f"          {invalid} invalid trial{'s' if invalid > 1 else ''} left out of "
                    "that ranking; take the verdict out of its filter to see all"
                )

    def _tell(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def raw_record(
    trial: Trial,
    title: str,
    sweep_id: str,
    outcome: Outcome,
    host: dict[str, Any],
    started_at: str,
    order_seed: int | None = None,
) -> Record:
    """What is known of a trial that has just ended, before it is judged."""
    return Record(
        sweep_id=sweep_id,
        key=trial.key,
        repeat=trial.repeat,
        title=title,
        trial=redacted_values(trial_values(trial)),
        status=outcome.status,
        verdict=None,
        reasons=[],
        effective=outcome.effective,
        warmup_ms=list(outcome.warmup_ms),
        latency_ms=list(outcome.latency_ms),
        series=outcome.series,
        summary={},
        environment=host | outcome.environment,
        contention=outcome.contention,
        started_at=started_at,
        ended_at=utc_now(),
        error=outcome.error,
        order_seed=order_seed,
        why_null=outcome.why_null | {"verdict": "ended before it was judged"},
        key_rule=KEY_RULE,
    )


def judged(record: Record, trial: Trial, outcome: Outcome) -> Record:
    """The record with its summary and verdict; a fault in judging costs only these."""
    why_null = dict(outcome.why_null)
    if outcome.status != "completed":
        return replace(record, why_null=why_null)
    from runner.statistics.summary import summarize
    from runner.verdict import flags, verdict_of

    try:
        synced_ms = outcome.series.get("synced_ms")
        summary = summarize(
            outcome.latency_ms,
            trial.input.batch_size,
            outcome.warmup_ms,
            inner=outcome.effective.get("inner", 1),
            pipelined_ms=synced_ms if trial.timing.method == "pipelined" else None,
        )
        found = flags(trial, outcome, summary)
        json.dumps([asdict(summary), *map(asdict, found)], allow_nan=False)  # as it is saved
    except Exception as error:
        traceback.print_exc()
        return replace(
            record,
            why_null=why_null | {"verdict": f"judging failed: {type(error).__name__}: {error}"},
        )
    return replace(
        record,
        summary=asdict(summary),
        reasons=[asdict(flag) for flag in found],
        verdict=verdict_of(found),
        why_null=why_null,
    )
