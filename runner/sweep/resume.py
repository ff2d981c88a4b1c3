"""Resuming a sweep: its command, its finished trials, and what is left to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from runner.contract import CONF, Problem, Status, Unreadable, UsageError
from runner.host.secrets import HIDDEN
from runner.records.manifest import MANIFEST, Manifest, Planned, load_manifest
from runner.records.record import Record
from runner.records.store import RECORD, load_in_place
from runner.trial.near import near

MAX_NAMED = 2  # trials of a difference; beyond that only their number is shown
OF_ONE_START = ("sweep.resume", "sweep.retry", "sweep.extend", "sweep.id")


def expand_resume(words: Sequence[str]) -> list[str]:
    """The words of a command line, with `sweep.resume` replaced by the command it stands for.

    `latest` is the newest sweep in output_dir with trials left to run, anything else
    the id of one. Raises UsageError if there is none, or its command can't be repeated.
    """
    given = [word for word in words if _key(word) != "sweep.resume"]
    named = [_value(word) for word in words if _key(word) == "sweep.resume"]
    if not named or named[-1] in ("", "null"):
        return given
    if twice := [word for word in given if _key(word) == "sweep.id"]:
        found = f"sweep.resume={named[-1]} and {twice[-1]} both choose a sweep"
        raise UsageError(Problem("sweep.id", found, "give one"))
    default = OmegaConf.load(CONF / "config.yaml").output_dir
    output_dir = Path(_last(given, "output_dir") or default)
    retry = _last(given, "sweep.retry")
    sweep_dir = output_dir / named[-1]
    if named[-1] == "latest":
        sweep_dir = _newest_unfinished(output_dir, retry)
    if not sweep_dir.is_dir():
        there = sorted(path.parent.name for path in output_dir.glob(f"*/{MANIFEST}"))
        hint = near(named[-1], ["latest", *there])
        found = f"sweep.resume is {named[-1]}, but there is no such sweep in {output_dir}"
        raise UsageError(Problem("sweep.resume", found, f"{hint}expected latest or a sweep's id"))
    try:
        manifest = load_manifest(sweep_dir)
    except Unreadable as error:
        raise UsageError(Problem("sweep.resume", str(error), "give the id of a sweep")) from error
    command = manifest.commands[unfinished(manifest, sweep_dir, retry) or 0]
    earlier = [word for word in command[1:] if _key(word) not in OF_ONE_START]
    if any(HIDDEN in word for word in earlier):
        found = f"the command of {manifest.sweep_id} needs a secret, which is never stored"
        remedy = f"repeat the original command with sweep.id={manifest.sweep_id}"
        raise UsageError(Problem("sweep.resume", found, remedy))
    extends = ["sweep.extend=true"] if manifest.extended_by else []
    changed = {_key(word) for word in given}
    kept = [word for word in [*earlier, *extends] if _key(word) not in changed]
    return [*kept, *given, f"sweep.id={manifest.sweep_id}"]


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _value(word: str) -> str:
    return word.partition("=")[2].strip("'\"")


def _last(words: Sequence[str], key: str) -> str | None:
    return next((_value(word) for word in reversed(words) if _key(word) == key), None)


def _newest_unfinished(output_dir: Path, retry: str | None) -> Path:
    manifests = sorted(
        output_dir.glob(f"*/{MANIFEST}"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for path in manifests:
        try:
            if unfinished(load_manifest(path.parent), path.parent, retry) is not None:
                return path.parent
        except Unreadable:
            continue  # it can't be resumed
    found = f"none of the {len(manifests)} sweeps in {output_dir} has trials left to run"
    remedy = "sweep.retry=failed also runs failed trials again"
    raise UsageError(Problem("sweep.resume", found, remedy))


def unfinished(manifest: Manifest, sweep_dir: Path, retry: str | None) -> int | None:
    """The number of the first command of a sweep that has trials left to run."""
    for planned in manifest.trials:
        try:
            path = sweep_dir / planned.folder / RECORD
            record = load_in_place(path, manifest.sweep_id)
        except Unreadable:
            return planned.command
        if is_left(record, retry):
            return planned.command
    return len(manifest.extended_by) if manifest.searching else None


def is_left(record: Record | None, retry: str | None) -> bool:
    """Whether a planned trial must run: it has not ended, or it failed and is retried."""
    if record is None or record.status == Status.INTERRUPTED:
        return True
    return not record.completed and retry == "failed"


def continued(planned: Manifest, sweep_dir: Path, extend: bool, *, grows: bool = False) -> Manifest:
    """The manifest of an existing sweep that is resumed by this command.

    One that `grows` has trials that follow from its records. Raises UsageError if this command
    plans something else and does not extend it.
    """
    try:
        manifest = load_manifest(sweep_dir)
    except Unreadable as error:
        raise UsageError(
            Problem(
                "sweep.id",
                f"sweep.id is {planned.sweep_id}, but {error}",
                "give another sweep.id, so that no record is overwritten",
            )
        ) from error
    there = {trial.folder for trial in manifest.trials}
    own = {trial.folder for trial in planned.trials}
    added = [trial for trial in planned.trials if trial.folder not in there]
    lacking = [trial for trial in manifest.trials if trial.folder not in own and not grows]
    if (added or lacking) and not extend:
        differences = [
            *([f"adds {_named([trial.title for trial in added])}"] if added else []),
            *([f"lacks {_named([trial.title for trial in lacking])}"] if lacking else []),
        ]
        raise UsageError(
            Problem(
                "sweep.id",
                f"sweep.id is {planned.sweep_id}, which has {len(there)} trials planned at "
                f"{manifest.planned_at}, but this command {' and '.join(differences)}",
                "use the same command, give another sweep.id, or extend the sweep with "
                "sweep.extend=true",
            )
        )
    manifest = replace(manifest, searching=planned.searching)
    if not added:
        return manifest
    number = len(manifest.commands)
    return replace(
        manifest,
        trials=(*manifest.trials, *(replace(trial, command=number) for trial in added)),
        extended_by=(*manifest.extended_by, planned.command),
    )


def _named(titles: Sequence[str]) -> str:
    if len(titles) <= MAX_NAMED:
        return ", ".join(titles)
    return f"{len(titles)} trials ({', '.join(titles[:MAX_NAMED])}, ...)"


def records_there(
    manifest: Manifest, sweep_dir: Path
) -> Iterator[tuple[Planned, Record | Unreadable]]:
    """The records of planned trials on disk, in order; for an unreadable one, the reason."""
    for planned in manifest.trials:
        path = sweep_dir / planned.folder / RECORD
        if path.exists():
            try:
                yield planned, load_in_place(path, manifest.sweep_id)
            except Unreadable as error:
                yield planned, error
