"""What a person calls records: found, or told why not and what is there instead."""

from __future__ import annotations

import os
import shutil

import pytest
from fakes.trials import make_trial, timed, write_sweep

from runner.contract import NothingThere
from runner.records.locks import locked
from runner.records.selection import select
from runner.records.store import LOCK, RECORD

SMALL, LARGE = (make_trial(input={"size": (size, size)}) for size in (64, 128))


@pytest.fixture
def outputs(tmp_path):
    """Two sweeps, the second planned later."""
    old = write_sweep(tmp_path, "old", [timed(SMALL)])
    write_sweep(tmp_path, "new", [timed(LARGE), timed(SMALL)])
    os.utime(old / "sweep.json", (0, 0))
    return tmp_path


@pytest.mark.parametrize(
    ("word", "name", "count"),
    [
        ("old", "old", 1),
        ("latest", "new", 2),
        ("latest~1", "old", 1),
        ("{}/new", "new", 2),
        (f"{{}}/new/{SMALL.key}", SMALL.key, 1),
        (f"{{}}/new/{SMALL.key}/{RECORD}", RECORD, 1),
        ("{}", "{}", 3),
    ],
)
def test_a_sweep_goes_by_its_id_age_folder_or_file(outputs, word, name, count):
    found = select(word.format(outputs), outputs)
    assert (found.name, len(found.records)) == (name.format(outputs), count)
    assert found.notes == ()


def test_records_come_in_the_order_of_their_plan(outputs):
    assert [record.trial for record in select("new", outputs).records] == [LARGE, SMALL]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("nope", "nope is neither a sweep in .* the newest sweeps: old, new"),
        ("latest~2", r"latest~2 was requested, but .* has 2 sweeps"),
        ("{}/empty", "has no record; expected the folder of a sweep or a trial"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(outputs, word, reason):
    (outputs / "empty").mkdir()
    with pytest.raises(NothingThere, match=reason):
        select(word.format(outputs), outputs)


@pytest.mark.parametrize("text", ["{", '{"version": 99}'])
def test_a_corrupt_record_or_one_of_another_version_costs_itself_only(outputs, text):
    (outputs / "new" / SMALL.key / RECORD).write_text(text)
    found = select("new", outputs)
    assert [record.trial for record in found.records] == [LARGE]
    assert RECORD in found.notes[0]
    with pytest.raises(NothingThere, match=r"can't be read|version is 99"):
        select(f"new/{SMALL.key}", outputs)


def test_of_several_sweeps_one_that_can_not_be_read_costs_itself_only(outputs):
    (outputs / "old" / SMALL.key / RECORD).write_text("{")
    found = select(str(outputs), outputs)
    assert len(found.records) == 2
    assert RECORD in found.notes[0]


def test_a_sweep_that_was_cut_off_says_what_is_missing_and_one_that_runs_who_runs_it(tmp_path):
    folder = write_sweep(tmp_path, "cut", [timed(SMALL)], planned=[LARGE])
    assert (
        "1 of 2 planned trials have no record; python -m runner sweep.resume=cut"
        in (select("cut", tmp_path).notes[0])
    )
    with locked(folder / LOCK, "sweep cut"):
        assert "the sweep is still running (sweep cut (pid" in select("cut", tmp_path).notes[0]


def test_a_damaged_manifest_leaves_the_records(outputs):
    (outputs / "new" / "sweep.json").write_text("{")
    found = select("new", outputs)
    assert len(found.records) == 2
    assert "sweep.json can't be read" in found.notes[0]


def test_a_record_in_anothers_place_is_left_out_and_named(outputs):
    """A copied folder is no second process, and no other trial."""
    new = outputs / "new"
    shutil.copytree(new / SMALL.key, new / "kept-for-later")
    found = select("new", outputs)
    assert [record.trial for record in found.records] == [LARGE, SMALL]
    assert "kept-for-later/record.json is the record of another trial" in found.notes[0]
    shutil.copy(new / LARGE.key / RECORD, new / SMALL.key / RECORD)
    assert [record.trial for record in select("new", outputs).records] == [LARGE]
    shutil.copy(outputs / "old" / SMALL.key / RECORD, new / SMALL.key / RECORD)
    found = select("new", outputs)
    assert [record.trial for record in found.records] == [LARGE]
    assert any("is the record of another sweep, old" in note for note in found.notes)


def test_a_name_that_no_file_can_have_is_told(outputs):
    with pytest.raises(NothingThere, match="is neither a sweep"):
        select("x" * 5000, outputs)
