"""runner measures how fast a vision model runs, one fresh process per trial.

Commands:

    __main__.py    python -m runner: run a sweep from conf/*.yaml and the command line
    publish.py     python -m runner.publish: bring MLflow up to date with what is on disk
    doctor.py      python -m runner.doctor: what this machine can measure, and what would disturb it
    report.py      python -m runner.report: the report of one sweep or of several
    nightly.py     python -m runner.nightly: a nightly sweep, judged by the nights before
    duet.py        python -m runner.duet: is this commit, environment or setting faster
    bisect.py      python -m runner.bisect: which commit made a trial slower
    compare.py     python -m runner.compare: two results, trial by trial, with a verdict
    reproduce.py   python -m runner.reproduce: run a result again: does it agree
    export.py      python -m runner.export: results as CSV or Parquet; runner.load in a notebook

Packages, from the one that uses everything down to the one that all use; imports point down only:

    _plugins/      the Hydra sweeper, to which Hydra passes the overrides of a sweep
    sweep/         one start of a sweep: its plan, its locks, its listeners, its closing lines;
                   duets of a command line, and those that confirm a night
    pages/         results as pages: HTML, Markdown, text; plots
    duets/         two sides timed in turns on one device: commits, environments, settings
    launchers/     where planned trials run: here, on all GPUs of this host, as jobs of a cluster
    terminal/      what a terminal shows: progress, tables, closing advice
    tracking/      MLflow: records as runs, the publisher that survives its outages, the saved views
    verdict/       is the number good: rules on samples, CPU and GPU, and the judge
    config/        from overrides through Hydra to checked Trials, and what is wrong with them
    worker/        a fresh process for each trial, and what it does: prepare, measure, observe
    pipelines/     a whole request: JPEGs, transforms, copies, the network, its answer
    serving/       queries that arrive on a schedule, wait in a queue, and are answered
    profiles/      where the time of a pass goes, by operator and kernel; two sides aligned
    models/        what is timed: networks from their sources, inputs, a workload that runs them
    measure/       clocks: devices, timing methods, the loop, a simulated device
    host/          the machine: its devices, what disturbs it, its description, secrets
    history/       comparisons of results, nights judged by earlier nights, and what
                   differs between their environments
    records/       files: record.json of a trial, sweep.json of a sweep; reading and finding them
    statistics/    statistics of samples: pure functions of arrays
    trial/         the description of a trial, its rules, the properties of the timing methods
    contract.py    shared by all: enumerations, exit codes, all errors

The path of a trial: overrides -> config (Hydra composes, each point becomes a Trial) -> Plan ->
Job -> a launcher -> worker -> Outcome -> Record -> the listeners: progress, MLflow, the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pandas import DataFrame

    from runner.statistics.gate import NightVerdict

__all__ = ["__version__", "judge", "load"]

__version__ = "0.1.0"


def load(
    *sweeps: str,
    samples: bool = False,
    output_dir: str = "outputs",
    tracking_uri: str | None = None,
) -> DataFrame:
    """The records of one or many sweeps as a pandas DataFrame: `runner.load("latest")`.

    One row for each process of a trial, or for each sample; the columns are those of
    `python -m runner.export`. A sweep is named by its id in `output_dir`, `latest`,
    `latest~1`, a folder, a record's file, or an MLflow run id. Raises LookupError.
    """
    from runner.export import frame_of

    return frame_of(sweeps or ("latest",), samples, output_dir, tracking_uri)


def judge(
    history: Mapping[str, Sequence[Sequence[Sequence[float]]]],
    tonight: Mapping[str, Sequence[Sequence[float]]],
) -> NightVerdict:
    """Judge tonight's latencies by earlier nights, as the nightly gate does.

    `history` has for each trial its nights, the latest last; a night is a list of processes, and a
    process its samples in milliseconds. `tonight` has one night for each trial; an empty list is a
    night without the trial. The result has `trials`, a verdict with ratio, 95 % interval and
    detectable change for each, and `health`, what the night did to all of them.
    Raises ValueError for a process without samples or with a median that is not above 0.
    """
    from runner.statistics import gate

    return gate.judge(history, tonight)
