"""Processes in short, the index that holds them, and nights read from their folders."""

from __future__ import annotations

import json
from dataclasses import replace

from fakes.trials import make_trial, timed, write_sweep

from runner.records.nights import load_night, nights_of
from runner.records.process_summary import INDEX, briefs, process_summary_of
from runner.records.store import RECORD


def sweep(output_dir, name="nightly-2026-11-25", **changes):
    records = [timed(make_trial(repeat=repeat)) for repeat in range(2)]
    return write_sweep(output_dir, name, records, **changes)


def test_a_brief_holds_what_the_gate_needs():
    record = timed(make_trial(repeat=1), median_ms=12.0)
    brief = process_summary_of(record)
    assert brief.identity == record.key
    assert brief.folder == record.trial.folder
    assert brief.title == "resnet18 64px b1 w2 wall"
    assert brief.typical_ms == record.typical_ms
    assert brief.facts["torch"] == "2.14.1"
    assert "cuda" not in brief.facts  # of a trial on the CPU it says nothing
    invalid = process_summary_of(
        replace(record, verdict="invalid", reasons=[{"code": "X", "level": "invalid"}])
    )
    assert (invalid.unfit, invalid.typical_ms) == ("invalid: X", None)


def test_the_index_spares_reading_the_records_and_is_made_anew_when_they_change(tmp_path):
    folder = sweep(tmp_path)
    found, notes = briefs(folder)
    assert (len(found), notes) == (2, [])
    index = json.loads((folder / INDEX).read_text())
    index["processes"][0]["title"] = "from the index"
    (folder / INDEX).write_text(json.dumps(index))
    assert briefs(folder)[0][0].title == "from the index"
    (record,) = folder.glob(f"*-r1/{RECORD}")
    record.touch()
    assert briefs(folder)[0] == found
    (folder / INDEX).write_text("{")
    assert briefs(folder)[0] == found


def test_an_unreadable_record_is_told_and_no_index_hides_it(tmp_path):
    folder = sweep(tmp_path)
    (record,) = folder.glob(f"*-r1/{RECORD}")
    record.write_text("{")
    for _ in range(2):
        found, notes = briefs(folder)
        assert len(found) == 1
        assert "can't be read" in notes[0]


def test_a_night_is_its_folder_with_what_was_planned_and_what_was_said(tmp_path):
    more = make_trial(input={"size": (96, 96)})
    folder = sweep(tmp_path, planned=[more])
    for other in ("20261125-120000", "nightly-mine"):
        sweep(tmp_path, other)
    assert nights_of(tmp_path, "nightly") == [folder]
    (folder / "gate.json").write_text(
        '{"night": "n", "trials": [{"identity": "x", "title": "x", "verdict": "pass"}],'
        '"health": {"question": true}}'
    )
    night = load_night(folder)
    assert set(night.planned) == {make_trial().key, more.key}
    assert (night.previous_verdicts, night.question) == ({"x": "pass"}, True)
    (folder / "gate.json").write_text("[]")
    assert load_night(folder).previous_verdicts == {}
