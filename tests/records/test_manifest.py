"""The manifest: written as a whole, read back as it was, refused when it can't be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from runner.contract import Unreadable
from runner.records.manifest import MANIFEST, Manifest, Planned, load_manifest, save_manifest

PLANNED = Planned(
    "abc-r1", "abc", 1, "resnet18 64px b1 w2 wall r1", "cpu", 0, "resnet18 64px b1 w2 wall"
)
NIGHT = Manifest(
    sweep_id="night",
    name="nightly",
    command=("runner", "sweep=nightly"),
    order_seed=7,
    tracking={"kind": "sqlite", "uri": None, "experiment": "runner"},
    host="here",
    pid=1,
    planned_at="2026-01-01T00:00:00.000+00:00",
    trials=(PLANNED, PLANNED),
)


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    save_manifest(NIGHT, tmp_path)
    assert load_manifest(tmp_path) == NIGHT
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "can't be read"),
        ("[]", r"it is \[\]; expected a JSON object"),
        ('{"version": 9}', "version is 9; expected 1"),
        ('{"version": 1, "trials": [], "command": []}', "lacks sweep_id"),
    ],
)
def test_a_damaged_manifest_says_what_is_wrong_with_it(tmp_path, text, reason):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(Unreadable, match=reason):
        load_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_told_by_its_name(tmp_path):
    with pytest.raises(Unreadable, match=str(tmp_path)):
        load_manifest(tmp_path)


def test_a_manifest_of_before_gives_the_processes_of_a_trial_one_title(tmp_path):
    planned = [Planned(folder, "abc", repeat, title, "cpu") for folder, repeat, title in (
        ("abc", 0, "net 64px cache=warm"), ("abc-r1", 1, "net 64px r1 cache=warm"),
    )]  # fmt: skip
    save_manifest(replace(NIGHT, trials=tuple(planned)), tmp_path)
    values = json.loads((tmp_path / MANIFEST).read_text())
    for one in values["trials"]:
        del one["trial_title"]
    (tmp_path / MANIFEST).write_text(json.dumps(values))
    found = load_manifest(tmp_path).trials
    assert {(one.identity, one.trial_title) for one in found} == {("abc", "net 64px cache=warm")}
