"""A night around its sweep: its name, its history, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.config.settings import Settings
from runner.contract import (
    ExitCode,
    GateVerdict,
    NothingThere,
    Problem,
    TrackingUnavailable,
    Unreadable,
    UsageError,
)
from runner.history.decisions import ALL, Decisions, fingerprint, still_holds
from runner.host.environment import commits_between
from runner.records.manifest import load_manifest
from runner.records.nights import VERDICTS, Night, load_night, nights_of
from runner.records.store import write_text_whole, write_whole
from runner.sweep.resume import unfinished
from runner.tracking import nights as tracked
from runner.tracking import trends as tracked_trends
from runner.tracking.store import Store, open_store

if TYPE_CHECKING:
    from runner.history.nightly import JudgedNight
    from runner.pages.nightly import Report

HTML, MARKDOWN, JUNIT = "night.html", "night.md", "junit.xml"
SAME_NIGHT = timedelta(hours=20)  # within which an interrupted night is resumed
OF_NIGHTS, OF_TRIALS = ("flag", "baseline", "since"), ("accept", "retire", "of")  # decisions
DEEP = 4  # windows of nights that are read from disk, because some may be flagged


def name_of(settings: Settings) -> str:
    """The name of a sweep's nights. Raises UsageError for a search, or without a name."""
    if settings.name is None:
        found = "this sweep has no sweep.name, from which its nights get their names"
        remedy = "add `name: NAME` below `sweep:` in its file, a different one for each file"
        raise UsageError(Problem("sweep.name", found, remedy))
    if settings.search is not None:
        found = f"sweep.search is {settings.search}, but a search runs other trials each night"
        remedy = "time fixed ones, as in load=server load.rate=20 or input.batch_size=1,8"
        raise UsageError(Problem("sweep.search", found, remedy))
    return settings.name


def newest(settings: Settings) -> str:
    """The most recent night. Raises NothingThere."""
    nights = nights_of(settings.output_dir, name_of(settings))
    if not nights:
        raise NothingThere(f"there is no night in {settings.output_dir}; run one without --judge")
    return nights[-1].name


def tonight(settings: Settings, now: datetime) -> str:
    """The night to run: one that was interrupted some hours ago, else today's."""
    for folder in nights_of(settings.output_dir, name_of(settings))[-1:]:
        try:
            manifest = load_manifest(folder)
        except Unreadable:
            continue  # it can't be resumed; if it is today's, the sweep reports that
        planned_at = datetime.fromisoformat(manifest.planned_at)
        recent = now.astimezone() - planned_at < SAME_NIGHT
        if recent and unfinished(manifest, folder, settings.retry) is not None:
            return folder.name
    return f"{name_of(settings)}-{now:%Y-%m-%d}"


def judged(settings: Settings, sweep_id: str, decisions: Decisions) -> tuple[Report, Store | None]:
    """The report of a night, and the store to publish it in, if available.

    Raises NothingThere for a night without records.
    """
    from runner.history.nightly import judge_night  # imports scipy
    from runner.pages.nightly import Report

    on_disk = settings.nightly.history == "disk"
    here = _from_disk(settings, sweep_id, decisions) if on_disk else None
    notes: list[str] = []
    store, links = None, dict[str, str]()
    if settings.tracking.kind != "off":
        tracking = settings.tracking
        try:
            store = open_store(tracking.uri, tracking.experiment, settings.output_dir)
            links = tracked.links(store, sweep_id)
        except TrackingUnavailable as reason:
            notes.append(f"MLflow is unavailable: {reason}")
            store = None
    night, before, missing = here or _from_mlflow(store, settings, sweep_id, decisions)
    judgement = judge_night(night, before, decisions, settings.nightly.window)
    report = Report(
        judgement,
        str(settings.output_dir),
        partial(commits_between, Path.cwd()),
        links,
        fingerprint(decisions.text),
        [*notes, *missing, *_rewritten(settings, before, decisions)],
    )
    return report, store


def _from_disk(
    settings: Settings, sweep_id: str, decisions: Decisions
) -> tuple[Night, list[Night], list[str]]:
    """The night, the nights before it, and reasons for unreadable ones."""
    try:
        night = load_night(settings.output_dir / sweep_id)
    except Unreadable as error:
        raise NothingThere(f"there is no night {sweep_id}: {error}") from error
    folders = [f for f in nights_of(settings.output_dir, name_of(settings)) if f.name < sweep_id]
    wanted = _wanted([folder.name for folder in folders], decisions, settings.nightly.window, DEEP)
    before, unread = list[Night](), list[str]()
    for folder in folders:
        if folder.name in wanted:
            try:
                before.append(load_night(folder))
            except Unreadable as error:
                unread.append(str(error))
    return night, before, unread


def _from_mlflow(
    store: Store | None, settings: Settings, sweep_id: str, decisions: Decisions
) -> tuple[Night, list[Night], list[str]]:
    """The same with the history from MLflow, and the night, too, if it is not on this disk."""
    before, missing = list[Night](), list[str]()
    found = None
    try:
        found = load_night(settings.output_dir / sweep_id)
    except Unreadable as error:
        why = str(error)
    if store is None:
        missing.append("no history: nightly.history=mlflow, but tracking is off")
    try:
        if store is not None:
            names = tracked.names_of_nights(store, name_of(settings))
            earlier = [name for name in names if name < sweep_id]
            wanted = _wanted(earlier, decisions, settings.nightly.window, 1)
            before = [tracked.load_night(store, name) for name in earlier if name in wanted]
            if found is None and sweep_id in names:
                found = tracked.load_night(store, sweep_id)
    except TrackingUnavailable as reason:
        missing.append(f"no history: MLflow is unavailable ({reason})")
    if found is None:
        raise NothingThere(f"there is no night {sweep_id}, here or in MLflow: {why}")
    return found, before, missing


def _wanted(names: Sequence[str], decisions: Decisions, window: int, deep: int) -> set[str]:
    """The nights to read: the last ones, and those against which creep is measured."""
    pinned = [name for name in names if decisions.baseline and name <= decisions.baseline]
    first = names[:window] if decisions.baseline is None and deep > 1 else []
    return {*names[-deep * window :], *pinned[-window:], *first}


def _rewritten(settings: Settings, before: Sequence[Night], decisions: Decisions) -> Sequence[str]:
    """Notes about edited entries in the file of decisions."""
    last = next((night for night in reversed(before) if night.decided), None)
    if last is None or last.decided is None or still_holds(decisions.text, last.decided):
        return ()
    path = settings.nightly.accept
    return (f"{path} was edited since {last.sweep_id}: expected new entries at its end only",)


def check_names(settings: Settings, decision: Mapping[str, str]) -> None:
    """Raise NothingThere for a decision about a night or a trial that is unknown.

    An alias may name a trial that has not run yet.
    """
    nights = _known(settings)
    names = [night.sweep_id for night in nights]
    trials = {
        name
        for night in nights
        for identity, title in night.planned.items()
        for name in (identity, title)
    }
    asked = [(key, decision[key], names) for key in OF_NIGHTS if key in decision]
    asked += [
        (key, decision[key], sorted(trials))
        for key in OF_TRIALS
        if key in decision and decision[key] != ALL
    ]
    for key, word, known in asked:
        if word not in known:
            near = get_close_matches(word, known, 3, 0.3) or known[-3:]
            offer = f"expected one such as {', '.join(near)}" if near else "there are no nights yet"
            what = "night" if known is names else "trial of a night"
            raise NothingThere(f"--{key} is {word}, which is not a {what}; {offer}")


def _known(settings: Settings) -> list[Night]:
    """The nights that can be read, the oldest first."""
    found = []
    for folder in nights_of(settings.output_dir, name_of(settings)):
        with suppress(Unreadable):
            found.append(load_night(folder))
    if settings.nightly.history == "mlflow" and settings.tracking.kind != "off":
        tracking = settings.tracking
        with suppress(TrackingUnavailable):
            store = open_store(tracking.uri, tracking.experiment, settings.output_dir)
            here = {night.sweep_id for night in found}
            others = [n for n in tracked.names_of_nights(store, name_of(settings)) if n not in here]
            found += [tracked.load_night(store, name) for name in others]
    return sorted(found, key=lambda night: night.sweep_id)


def code_of(judgement: JudgedNight, allow_inconclusive: float) -> ExitCode:
    """The exit code: the most serious finding."""
    counts = judgement.counts
    if counts.get(GateVerdict.REGRESSION):
        return ExitCode.REGRESSION
    if counts.get(GateVerdict.FAILED) or counts.get(GateVerdict.MISSING):
        return ExitCode.INCOMPLETE
    compared = len(judgement.findings) - counts.get(GateVerdict.NO_BASELINE, 0)
    if not compared or len(judgement.before) == len(judgement.flagged):
        return ExitCode.NO_BASELINE
    undecided = counts.get(GateVerdict.INCONCLUSIVE, 0) + counts.get(GateVerdict.SUSPECT, 0)
    too_many = undecided > allow_inconclusive * compared
    return ExitCode.UNDECIDED if judgement.asks or too_many else ExitCode.OK


def write(report: Report, settings: Settings, values: Mapping[str, Any]) -> dict[str, Path]:
    """Write the report in all formats, and the page of all nights. Raises OSError.

    `values` are its content for programs.
    """
    from runner.pages import history_page  # imports plotly
    from runner.pages.night_page import night_page
    from runner.pages.nightly import junit_of, page_of
    from runner.pages.page import to_html, to_markdown

    folder = settings.output_dir / report.judgement.night.sweep_id
    name = name_of(settings)
    files = {
        "verdicts": folder / VERDICTS,
        "page": folder / HTML,
        "markdown": folder / MARKDOWN,
        "junit": folder / JUNIT,
        "history": settings.output_dir / f"{name}.html",
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(values, files["verdicts"])
    write_text_whole(to_html(night_page(report, f"../{name}.html")), files["page"])
    write_text_whole(to_markdown(page_of(report)), files["markdown"])
    write_text_whole(junit_of(report), files["junit"])
    history = history_page.page_of(report.judgement, name)
    write_text_whole(to_html(history), files["history"])
    return files


def publish(
    report: Report,
    store: Store,
    settings: Settings,
    values: Mapping[str, Any],
    files: Mapping[str, Path],
) -> str:
    """Publish the report to MLflow; the link to the trends. Raises TrackingUnavailable."""
    night, name = report.judgement.night, name_of(settings)
    tracked.publish(store, night, values, list(files.values()))
    tracked_trends.publish(store, name, report.judgement.nights, values)
    return tracked_trends.link(store, name)
