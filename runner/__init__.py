"""runner measures how fast a vision model runs, one fresh process per trial.

Doors, each a command:

    __main__.py    python -m runner: time a sweep, from conf/*.yaml and the command line
    publish.py     python -m runner.publish: bring MLflow up to date with what is on disk
    doctor.py      python -m runner.doctor: what this machine can measure, and what will spoil it
    report.py      python -m runner.report: the page of a sweep, as at its end, or of several
    nightly.py     python -m runner.nightly: a night's sweep, judged by the nights before
    compare.py     python -m runner.compare: two results, trial by trial, with a verdict
    reproduce.py   python -m runner.reproduce: a result, run again: does it agree
    export.py      python -m runner.export: results as CSV or Parquet; runner.load in a notebook

Rooms, from the one that sees everything down to the one that all know; arrows point down only:

    _plugins/      the Hydra sweeper: the door where Hydra hands over the words of a sweep
    sweep/         one start of a sweep: its plan, what is held, who listens, what is said last
    pages/         what results say, as pages: HTML, Markdown, text; plots
    launchers/     where planned trials run: here, on all GPUs of this host, as jobs of a cluster
    terminal/      what is seen meanwhile and at the end: progress, tables, closing advice
    tracking/      MLflow: the record as a run, the publisher that loses and regains it, the view
    verdict/       is the number good: flags of samples, CPU and GPU, and the judge
    config/        from words through Hydra to checked Trials, and what is wrong with either
    worker/        a fresh process for each trial, and what it does: prepare, measure, observe
    models/        what is timed: networks from their sources, inputs, a workload that runs them
    measure/       clocks: devices, timing methods, the loop, a simulated device
    host/          the machine: its devices, what disturbs it, what it is, without secrets
    history/       results beside each other: comparisons, nights judged by those before, what
                   differs between where they ran
    records/       what is on disk: record.json of a trial, sweep.json of a sweep; finding them
    statistics/    what samples say: pure functions of arrays
    trial/         what one trial is, what it can't be, the facts of the timing methods
    contract.py    what others may rely on: closed sets of words, exit codes, all errors

The way of a trial: words -> config (Hydra composes, each point becomes a Trial) -> Plan -> Job ->
a launcher -> worker -> Outcome -> Record -> whoever listens: progress, MLflow, the closing table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["__version__", "load"]

__version__ = "0.1.0"


def load(
    *sweeps: str,
    samples: bool = False,
    output_dir: str = "outputs",
    tracking_uri: str | None = None,
) -> DataFrame:
    """The records of one or many sweeps as a pandas DataFrame: `runner.load("latest")`.

    A row is a trial's process, or one of its samples; the columns are those of
    `python -m runner.export`. A sweep is named as there: by its id below `output_dir`, `latest`,
    `latest~1`, a folder, a record's file, or an MLflow run id. Raises LookupError.
    """
    from runner.export import frame_of

    return frame_of(sweeps or ("latest",), samples, output_dir, tracking_uri)
