"""Damaged files of earlier sweeps, tried field by field at every door: none ends in a traceback."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.trials import make_trial, timed, write_sweep
from rich.console import Console

from runner import compare, export, nightly, publish, report, reproduce
from runner.config.to_overrides import words_of
from runner.contract import Unreadable
from runner.history.comparison import Side
from runner.history.comparison import compare as compare_sides
from runner.pages.answers import answers
from runner.pages.comparison import page_of as comparison_page
from runner.pages.page import to_html, to_markdown, to_text
from runner.pages.report import page_of as report_page
from runner.records.frame import samples_frame, trials_frame
from runner.records.manifest import MANIFEST, load_manifest
from runner.records.nights import VERDICTS, Gate, load_night
from runner.records.process_summary import INDEX, briefs, process_summary_of
from runner.records.reading import checked, read_values
from runner.records.store import RECORD, load, save
from runner.sweep import resume
from runner.terminal.closing import closing_lines
from runner.tracking import catch_up, projection
from runner.tracking.journal import JOURNAL, unsent
from runner.trial.titles import keys_of
from runner.verdict.judge import judged

pytestmark = pytest.mark.filterwarnings("ignore:::(mlflow|alembic|sqlalchemy|google|pydantic)")
SEED = 20261128
SHOWN = 300  # accepted records that go through all doors: 0.05 s each
MISSING = object()
DAMAGES: dict[str, Any] = {
    "null": None,
    "missing": MISSING,
    "text": "x",
    "whole": 7,
    "yes": True,
    "empty": "",
    "list": [],
    "object": {},
    "NaN": float("nan"),
    "infinite": float("inf"),
    "negative": -5,
    "huge": 1e308,
    "immense": 10**400,
    "long": "x" * 200_000,
    "path": "../../elsewhere",
    "escapes": "\x1b[2J\x07\u202e",
    "surrogate": "\ud800",
    "yesterday": "yesterday",
    "no zone": "2026-11-26T02:00:00",
    "deep": json.loads("[" * 150 + "]" * 150),
}
WHOLE = {  # what a whole file may hold instead
    "nothing": b"",
    "cut": b'{"version": 1, "tri',
    "deep": b"[" * 200_000,
    "other encoding": b"\xff\xfe{\x00}\x00",
    "null": b"null",
    "list": b"[]",
    "number": b"1e999",
    "noughts": b"\x00" * 4096,
}


def a_record(**changes: Any):
    """One with everything that a record can hold."""
    trial = make_trial(model={"kwargs": {"width": 7}}, **changes)
    gpu = {"gpu": "NVIDIA H100", "sm_clock_mhz": 1980, "unknown": {"power_w": "no right"}}
    return timed(
        trial,
        figures={"gflop": 1.5, "rel_error": 0.01, "true_ms": 10.0, "synced_ms": None},
        series={"queued_ms": [1.0, 2.0]},
        effective={"inner": 1, "threads": 2, "network_size": [64, 64], "finite": True},
        contention={"cpu": {"steal_share": 0.3, "virtual_machine": True}, "gpu": gpu},
        host={"command": ["runner"], "git_commit": "1111111", "gpu": "NVIDIA H100"},
        why_null={"figures.synced_ms": "not measured"},
    )


def fields(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a JSON object; of a list, only the first."""
    if path:
        yield path
    parts = values.items() if isinstance(values, dict) else ()
    if isinstance(values, list):
        parts = list(enumerate(values))[:1]
    for name, part in parts:
        yield from fields(part, (*path, name))


def damaged(values: Any, path: tuple[Any, ...], damage: Any) -> Any:
    values = copy.deepcopy(values)
    *parents, last = path
    place = values
    for name in parents:
        place = place[name]
    if damage is MISSING:
        del place[last]
    else:
        place[last] = damage
    return values


def write(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


def at_all_doors(record: Any, other: Any) -> None:
    """What every command does with a record that it has read."""
    process_summary_of(record)
    pair = [record, replace(other, repeat=1)]
    trials_frame(pair).to_csv()
    samples_frame(pair)
    answers(pair)
    list(closing_lines(pair, 2, Path("outputs/night")))
    console = Console(file=open("/dev/null", "w"), width=80)  # noqa: SIM115
    page = report_page(pair, None, [])
    for text in (to_html(page), to_markdown(page)):
        text.encode()
    to_text(page, console)
    compared = comparison_page([compare_sides(Side("a", (record,)), Side("b", (other,)), 0.02)])
    to_html(compared).encode()
    to_text(compared, console)
    words_of(record.trial)
    projection.params_of(keys_of(record.trial))
    dict(projection.metrics_of(record))
    projection.tags_of(record)
    judged(replace(record, verdict=None))
    console.file.close()


def each_damaged(path: Path, read: Callable[[], Any]) -> Iterator[tuple[str, Any]]:
    """What is read of a JSON file with one field damaged, where that is not refused."""
    text = path.read_text()
    values, tried, refused = json.loads(text), 0, 0
    for place in fields(values):
        for name, damage in DAMAGES.items():
            write(path, damaged(values, place, damage))
            tried += 1
            try:
                found = read()
            except Unreadable as error:
                refused += 1
                message = str(error)
                if str(path) not in message or len(message) > 500 or not message.isprintable():
                    raise AssertionError(message) from error
            else:
                yield f"{'.'.join(map(str, place))} that is {name}", found
    path.write_text(text)
    assert refused > tried / 3


def test_a_record_with_any_field_damaged_is_unreadable_or_shown_by_every_command(tmp_path):
    path, other = tmp_path / RECORD, a_record(repeat=1)
    save(a_record(), path)
    accepted = list(each_damaged(path, lambda: load(path)))
    wrong = []
    for what, record in random.Random(SEED).sample(accepted, SHOWN):
        try:
            at_all_doors(record, other)
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {str(error)[:200]}")
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def nights(tmp_path, monkeypatch) -> Path:
    """Three judged nights and tonight's, in outputs/."""
    monkeypatch.chdir(tmp_path)
    output_dir = tmp_path / "outputs"
    for day in range(1, 5):
        began = datetime(2026, 11, day, 2, tzinfo=UTC)
        records = []
        for repeat in range(3):
            record = a_record(repeat=repeat)
            at = began + timedelta(minutes=repeat)
            times = at.isoformat(), (at + timedelta(seconds=5)).isoformat()
            records.append(replace(record, started_at=times[0], ended_at=times[1]))
        folder = write_sweep(output_dir, f"nightly-2026-11-{day:02d}", records, tracking="sqlite")
        (folder / JOURNAL).write_text(
            '{"store": "embedded", "experiment_id": "1"}\n'
            f'{{"folder": "{records[0].folder}", "written_ns": 1, "run": "{"0" * 32}"}}\n'
        )
        if day < 4:
            assert judge(day) in (5, 6, 0)
    return output_dir


def judge(day: int) -> int:
    return nightly.main(["--judge", "--night", f"2026-11-{day:02d}", "tracking=off"])


def old_files(output_dir: Path) -> dict[str, Path]:
    """The files of the first night, by kind."""
    folder = output_dir / "nightly-2026-11-01"
    briefs(folder)  # writes the index
    record = next(folder.glob(f"*/{RECORD}"))
    names = {"manifest": MANIFEST, "gate": VERDICTS, "index": INDEX, "journal": JOURNAL}
    return {"record": record, **{what: folder / name for what, name in names.items()}}


def test_a_manifest_with_any_field_damaged_is_unreadable_or_gone_on_with(nights):
    path = old_files(nights)["manifest"]
    for what, manifest in each_damaged(path, lambda: load_manifest(path.parent)):
        try:
            assert set(manifest.commands)
            resume.unfinished(manifest, path.parent, None)
            list(resume.records_there(manifest, path.parent))
            load_night(path.parent)
            catch_up.target_of(path.parent)
            list(catch_up.waiting(catch_up.Target(None, "runner", nights)))
        except Exception as error:
            raise AssertionError(what) from error


def test_a_gate_with_any_field_damaged_is_told_and_costs_only_itself(nights):
    path = old_files(nights)["gate"]
    read = lambda: checked(read_values(path), Gate, str(path))  # noqa: E731
    for what, gate in each_damaged(path, read):
        assert load_night(path.parent).notes == (), what
        assert gate.trials == [] or gate.trials[0].verdict, what
    path.write_text('{"version": 1}')
    assert "gate.json lacks night; nightly-2026-11-01 counts as never judged" in str(
        load_night(path.parent).notes
    )


def test_an_index_with_any_field_damaged_is_made_anew_or_as_good(nights):
    path = old_files(nights)["index"]
    values, right = json.loads(path.read_text()), briefs(path.parent)[0]
    for place in fields(values):
        for name, damage in DAMAGES.items():
            write(path, damaged(values, place, damage))
            found, notes = briefs(path.parent)
            assert notes == [], (place, name)
            assert len(found) == len(right), (place, name)
            assert all(one.typical_ms is None or one.typical_ms > 0 for one in found)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_of_a_journal_is_one_that_is_not_there(nights, damage):
    path = old_files(nights)["journal"]
    good, *_ = lines = [json.loads(line) for line in path.read_text().splitlines()]
    for place in (("folder",), ("written_ns",), ("run",)):
        line = json.dumps(damaged(lines[1], place, DAMAGES[damage]))
        path.write_text(f"{json.dumps(good)}\n{line}\n")
        assert len(unsent(path.parent)) == 3


@pytest.mark.parametrize("damage", WHOLE)
@pytest.mark.parametrize("what", ["record", "manifest", "gate", "index", "journal"])
def test_no_damaged_file_of_an_old_night_keeps_a_command_from_its_work(
    nights, capsys, what, damage
):
    old_files(nights)[what].write_bytes(WHOLE[damage])
    first, last = "nightly-2026-11-01", "nightly-2026-11-04"
    assert judge(4) in (0, 4, 5, 6)
    assert "nightly-2026-11-04 on here" in capsys.readouterr().out
    assert compare.main([first, last]) in (0, 4, 5)
    assert export.main([first, "-o", "x.csv"]) == 0
    assert report.main([first, "--text"]) == 0
    assert report.main([first, last, "-o", "x.html"]) == 0
    assert reproduce.main([f"outputs/{last}", "--dry-run"]) == 0
    assert publish.main([last, "--tracking-uri", "sqlite:///x.db"]) == 0
    assert publish.main([first, "--tracking-uri", "sqlite:///x.db"]) in (0, 1)
    list(catch_up.waiting(catch_up.Target(None, "runner", nights)))
    assert "Traceback" not in capsys.readouterr().err
    tonight = next((nights / last).glob(f"*/{RECORD}"))
    tonight.write_bytes(WHOLE[damage])
    assert judge(4) in (0, 4, 5, 6)
    if what == "record":
        assert reproduce.main([str(tonight), "--dry-run"]) == 2
        assert str(tonight) in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 200_000,
        b"\xff\xfe- \x00",
        b"- accept: [\n",
        b"- {accept: {a: b}, since: x, reason: y}",
        b"- {flag: true, reason: y}",
        b"- " + b"x" * 100_000,
        b"- &a [*a, *b]",
        b"- {flag: nightly-2026-11-01, reason: null}",
        b"\x00\x01\x02",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_damaged_file_of_decisions_is_refused_before_the_night(nights, capsys, text):
    Path("nightly.yaml").write_bytes(text)
    assert judge(4) == 2
    error = capsys.readouterr().err
    assert "nightly.yaml" in error
    assert len(error) < 600
