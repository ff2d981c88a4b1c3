"""The run of a whole sweep: its name, note, figures, report, and the lines below it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from runner.contract import TrackingUnavailable, Unreadable, Verdict
from runner.records.capacities import batches_of, services_of
from runner.records.reading import read_bytes
from runner.records.record import Record
from runner.records.results import results_of
from runner.tracking import curves, results
from runner.tracking.projection import NAME_LIMIT, TAG_LIMIT, digits, params_of
from runner.tracking.store import Store, explained
from runner.tracking.view import save_view
from runner.trial.description import Trial
from runner.trial.titles import keys_of, shown, summary_of, varying_keys

ARTIFACTS = ("report.html", "report.md", "summary.csv")  # of the sweep's folder, where written
NOTE = "report.md"
ANSWERS = "## Answers"  # heading of its first section


def describe(
    store: Store, parent_id: str, name: str | None, sweep_dir: Path, records: Sequence[Record]
) -> list[str]:
    """Fill the run of a sweep from its records and the pages in its folder.

    Returns the axes that have lines. Raises TrackingUnavailable.
    """
    from mlflow.entities import Metric, RunTag

    now_ms, trials = time.time_ns() // 1_000_000, [record.trial for record in records]
    title = summary_of(trials, name)
    with explained():
        client = store.client
        client.update_run(parent_id, name=title[:NAME_LIMIT])
        client.log_batch(
            parent_id,
            metrics=[Metric(key, digits(value), now_ms, 0) for key, value in figures_of(records)],
            tags=[RunTag("mlflow.note.content", _note(sweep_dir))],
        )
        run = client.get_run(parent_id).data
        if len(records) > int(run.tags.get("trials", 0)):  # a search has found more
            client.set_tag(parent_id, "trials", str(len(records)))
        axes = {name: value for name, value in swept(trials).items() if name not in run.params}
        client.log_batch(parent_id, params=params_of(axes))
        for artifact in ARTIFACTS:
            if (path := sweep_dir / artifact).is_file():
                client.log_artifact(parent_id, str(path))
    has_results = results.publish(store, parent_id, sweep_dir.name, records)
    with suppress(TrackingUnavailable):
        costed = any(record.figures.get("gflop") for record in records)
        kind = "result" if has_results else "trial"
        save_view(store, sweep_dir.name, title, varying_keys(trials), costed, kind)
    return curves.publish(store, parent_id, sweep_dir.name, records)


def swept(trials: Sequence[Trial]) -> dict[str, str]:
    """The axes of a sweep with all their values, as on the command line: `input.size` `64,96`."""
    keys = [keys_of(trial) for trial in trials]
    values = {
        name: list(dict.fromkeys(shown(one[name]) for one in keys if one.get(name) is not None))
        for name in varying_keys(trials)
    }
    return {
        name: ",".join(sorted(some, key=float) if all(map(str.isdecimal, some)) else some)
        for name, some in values.items()
    }


def figures_of(records: Sequence[Record]) -> Iterator[tuple[str, float]]:
    """Counts of trials by status and verdict, and the best figures."""
    yield "sweep/trials", len({record.key for record in records})
    yield "sweep/processes", len(records)
    yield "sweep/failed", sum(not record.completed for record in records)
    for verdict in (Verdict.SUSPECT, Verdict.INVALID):
        yield f"sweep/{verdict}", sum(record.verdict == verdict for record in records)
    usable = [one for one in results_of(records) if one.usable]
    times = [
        one.typical for one in usable if one.typical and one.first.summary.get("p50_ms") is not None
    ]
    rates = [rate for one in usable if (rate := one.images_per_second)]
    if times:
        yield "best/p50_ms", min(times)
    if rates:
        yield "best/img_s", max(rates)
    yield from _of_searches(records)


def _of_searches(records: Sequence[Record]) -> Iterator[tuple[str, float]]:
    """The best capacity of the sweep's services, and its largest batch where one did not fit."""
    found = [one.capacity for one in services_of(records) if one.capacity.rate is not None]
    if found:
        best = max(found, key=lambda one: one.rate or 0.0)
        yield "capacity/qps", best.rate or 0.0
        if best.ci is not None:
            yield "capacity/qps_lo", best.ci[0]
            yield "capacity/qps_hi", best.ci[1]
    full = [one for one in batches_of(records) if one.too_large]
    if full:
        yield "batch/largest", max(one.fitting[-1].trial.input.batch_size for one in full)
        yield "batch/best", full[0].best.trial.input.batch_size


def _note(sweep_dir: Path) -> str:
    """The report in Markdown, cut to MLflow's limit; without a report, where to get one."""
    try:
        text = read_bytes(sweep_dir / NOTE).decode(errors="replace")
    except Unreadable:
        return f"`python -m runner.report {sweep_dir.name}` writes a page about it"
    begin = text.find(ANSWERS)
    if begin > 0:  # what was found comes first, then what was timed
        text = f"{text[begin:].rstrip()}\n\n{text[:begin].rstrip()}\n"
    if len(text) <= TAG_LIMIT:
        return text
    rest = "\n\n... the rest is in report.md and report.html under Artifacts"
    return text[: text.rindex("\n", 0, TAG_LIMIT - len(rest))] + rest
