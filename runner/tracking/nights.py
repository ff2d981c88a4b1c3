"""Nights in MLflow: read from the runs of their trials, and tagged with the gate's verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.contract import GateVerdict, Unreadable
from runner.records.nights import Night
from runner.records.process_summary import FACTS, ProcessSummary
from runner.records.reading import checked, parsed
from runner.tracking.projection import TAG_LIMIT
from runner.tracking.store import Store, explained
from runner.tracking.view import run_link
from runner.trial.description import folder_of

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = 1000  # runs for each query
COUNTED = ("regression", "suspect", "inconclusive", "failed", "missing", "pass")


def names_of_nights(store: Store, name: str) -> list[str]:
    """The nights in the store, the oldest first. Raises TrackingUnavailable."""
    query = f"tags.`runner.kind` = 'sweep' and tags.`runner.sweep` LIKE '{name}-____-__-__'"
    return sorted({run.data.tags["runner.sweep"] for run in runs_of(store, query)})


def load_night(store: Store, sweep_id: str) -> Night:
    """A night from the tags of its runs, without artifacts. Raises TrackingUnavailable."""
    runs = list(trials_of(store, sweep_id))
    found, notes = list[ProcessSummary](), list[str]()
    for run in runs:
        try:
            found.append(_brief_of(run))
        except Unreadable as error:
            notes.append(str(error))
    found.sort(key=lambda one: one.began_s)
    text = {identity_of(run): run.data.tags["gate"] for run in runs if "gate" in run.data.tags}
    parents = runs_of(store, f"tags.`runner.kind` = 'sweep' and tags.`runner.sweep` = '{sweep_id}'")
    question = any(run.data.tags.get("gate.question") == "True" for run in parents)
    # old runs are named by process: the first one's name has no number
    titles = {one.identity: one.title for one in sorted(found, key=lambda one: -one.repeat)}
    return Night(sweep_id, titles, tuple(found), text, question, tuple(notes))


def runs_of(store: Store, query: str) -> Iterator[Run]:
    """All runs of the experiment that a query finds. Raises TrackingUnavailable."""
    token = None
    with explained():
        while True:
            page = store.client.search_runs(
                [store.experiment_id], query, max_results=PAGE, page_token=token
            )
            yield from page
            if not (token := page.token):
                return


def trials_of(store: Store, sweep_id: str) -> Iterator[Run]:
    """The runs of a sweep's trials. Raises TrackingUnavailable."""
    query = f"tags.`runner.kind` = 'trial' and tags.`runner.sweep` = '{sweep_id}'"
    return runs_of(store, query)


def identity_of(run: Run) -> str:
    """The identity of a run's trial and its device."""
    tags = run.data.tags
    return str(tags.get("runner.identity") or tags.get("runner.trial_key"))


def _brief_of(run: Run) -> ProcessSummary:
    """The process of a run from its tags, which anybody can edit. Raises Unreadable."""
    tags: Mapping[str, str] = run.data.tags
    where = f"the MLflow run {run.info.run_id}"
    if missing := {"runner.repeat", "runner.trial_key", "status"} - tags.keys():
        raise Unreadable(f"{where} lacks the tag {', '.join(sorted(missing))}")
    facts = parsed(tags.get("runner.facts", "{}"), where)
    ended_ms = run.info.end_time or run.info.start_time
    values = {
        "identity": identity_of(run),
        "repeat": tags["runner.repeat"],
        "title": tags.get("runner.title") or str(run.info.run_name),
        "status": tags["status"],
        "unfit": tags.get("runner.unfit"),
        "typical_ms": None if "runner.unfit" in tags else tags.get("runner.typical_ms"),
        "began_s": run.info.start_time / 1000,
        "took_s": (ended_ms - run.info.start_time) / 1000,
        "facts": facts or {name: tags[name] for name in FACTS if name in tags},
        "folder": tags["runner.trial_key"],
    }
    brief = checked(values, ProcessSummary, where, strict=False)
    device = run.data.params.get("device", "")
    return replace(brief, folder=folder_of(brief.folder, device, brief.repeat))


def links(store: Store, sweep_id: str) -> dict[str, str]:
    """The page of each trial's first process, by identity. Raises TrackingUnavailable."""
    runs = sorted(trials_of(store, sweep_id), key=lambda run: -run.info.start_time)
    return {identity_of(run): run_link(store, run.info.run_id) for run in runs}


def publish(store: Store, night: Night, values: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Tag the runs of a night with the gate's verdicts, and attach `files` to the parent.

    `values` are those of gate.json. Runs of other hosts in the same sweep are left alone.
    Raises TrackingUnavailable.
    """
    from mlflow.entities import Metric, RunTag

    sweep_id = night.sweep_id
    mine = {(one.identity, round(one.began_s * 1000)) for one in night.processes}
    verdicts = {one["identity"]: one["verdict"] for one in values["trials"]}
    with explained():
        client = store.client
        for run in trials_of(store, sweep_id):
            verdict = verdicts.get(identity_of(run), GateVerdict.MISSING)
            is_mine = (identity_of(run), run.info.start_time) in mine
            if is_mine and run.data.tags.get("gate") != verdict:
                client.set_tag(run.info.run_id, "gate", verdict)
        query = f"tags.`runner.kind` = 'sweep' and tags.`runner.sweep` = '{sweep_id}'"
        for parent in runs_of(store, query):
            run_id = parent.info.run_id
            now_ms = parent.info.start_time
            counts = {f"gate/{verdict}": values["counts"].get(verdict, 0) for verdict in COUNTED}
            client.log_batch(
                run_id,
                metrics=[Metric(name, count, now_ms, 0) for name, count in counts.items()],
                tags=[
                    RunTag("gate", values["headline"][:TAG_LIMIT]),
                    RunTag("gate.question", str(values["health"]["question"])),
                    RunTag("gate.exit_code", str(values["exit_code"])),
                ],
            )
            for file in files:
                client.log_artifact(run_id, str(file))
