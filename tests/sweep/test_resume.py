"""Going on with a sweep: what is run again, what never, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from fakes.program import ROOT, run_in

from runner.contract import Unreadable, UsageError
from runner.records.manifest import load_manifest
from runner.records.store import load
from runner.sweep.resume import continued, expand_resume

SIMULATED = ("model=simulated", "tracking=off", "timing.warmup=1,2,3", "sweep.id=night")


@pytest.fixture
def night(program):
    """A sweep of three trials that has been run, and its folder."""
    ran = program(*SIMULATED)
    assert ran.code == 0, ran.out + ran.err
    return ran.folder / "outputs" / "night"


def written(sweep_dir) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in sweep_dir.glob("*/record.json")}


def change(sweep_dir, number: int, **values) -> str:
    """Rewrite the record of a planned trial; its folder."""
    folder = load_manifest(sweep_dir).trials[number].folder
    path = sweep_dir / folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_the_same_command_runs_what_is_missing_and_nothing_twice(night, program):
    first, second, third = (one.folder for one in load_manifest(night).trials)
    (night / first / "record.json").unlink()
    (night / second / "record.json").write_text("{half a rec")
    before = written(night)
    ran = program(*SIMULATED)
    assert ran.code == 0, ran.out + ran.err
    assert "resuming night: 1 of 3 trials are done" in ran.out
    assert "can't be read" in ran.out
    assert "[3/3]" in ran.out
    assert "[1/3]" not in ran.out
    after = written(night)
    assert [name for name in after if after[name] == before.get(name)] == [third]
    assert (night / second / "record.1.json").read_text() == "{half a rec"
    assert all(load(path).verdict for path in night.glob("*/record.json"))
    again = program(*SIMULATED)
    assert again.code == 0
    assert written(night) == after


def test_a_record_in_anothers_place_does_not_count_and_is_kept(night, program):
    first, second, third = (one.folder for one in load_manifest(night).trials)
    shutil.copy(night / first / "record.json", night / second / "record.json")
    change(night, 2, sweep_id="other")
    ran = program(*SIMULATED)
    assert ran.code == 0, ran.out + ran.err
    assert "resuming night: 1 of 3 trials are done" in ran.out
    assert f"{second}/record.json is the record of another trial" in ran.out.replace("\n", "")
    assert load(night / second / "record.json").folder == second
    assert load(night / second / "record.1.json").folder == first
    assert load(night / third / "record.1.json").sweep_id == "other"


def test_latest_needs_no_other_word_and_failed_ones_run_again_only_when_asked(night, program):
    failed = change(night, 0, status="failed", error={"type": "E", "message": "m", "trace": ""})
    interrupted = change(night, 1, status="interrupted")
    before = written(night)
    ran = program("sweep.resume=latest")
    assert ran.code == 1, ran.out + ran.err  # one has failed, as before
    after = written(night)
    assert {name for name in after if after[name] != before[name]} == {interrupted}
    nothing = program("sweep.resume=latest")
    assert nothing.code == 2
    assert "has trials left to run; sweep.retry=failed" in nothing.err
    retried = program("sweep.resume=latest", "sweep.retry=failed")
    assert retried.code == 0, retried.out + retried.err
    assert load(night / failed / "record.json").completed
    assert load(night / failed / "record.1.json").status == "failed"


def test_a_record_that_was_never_judged_is_judged_and_not_measured_again(night, program):
    judged = load(night / load_manifest(night).trials[0].folder / "record.json")
    change(night, 0, verdict=None, summary={}, reasons=[], why_null={"verdict": "ended before"})
    ran = program(*SIMULATED)
    assert ran.code == 0, ran.out + ran.err
    assert "[3/3]" not in ran.out  # nothing ran
    assert load(night / judged.trial.folder / "record.json") == judged


def test_another_plan_is_refused_with_the_difference_or_added(night, program):
    other = [*SIMULATED[:2], "timing.warmup=2,3,4", SIMULATED[3]]
    ran = program(*other)
    assert ran.code == 2
    assert "adds simulated 640px b1 w4 event and lacks simulated 640px b1 w1 event" in ran.err
    added = program(*other, "sweep.extend=true")
    assert added.code == 0, added.out + added.err
    assert "[4/4] simulated 640px b1 w4" in added.out
    manifest = load_manifest(night)
    assert [one.command for one in manifest.trials] == [0, 0, 0, 1]
    assert "timing.warmup=2,3,4" in manifest.commands[1]
    (night / manifest.trials[3].folder / "record.json").unlink()
    resumed = program("sweep.resume=night")  # by the command that had planned it
    assert resumed.code == 0, resumed.out + resumed.err
    assert "[4/4] simulated 640px b1 w4" in resumed.out


def test_a_sweep_that_is_being_run_is_left_alone_and_says_by_whom(night, program):
    code = (
        "import sys, time; from pathlib import Path; from runner.records.locks import locked\n"
        "with locked(Path('outputs/night/.lock'), 'sweep night'):\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=night.parents[1],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    refused = program(*SIMULATED)
    process.kill()
    process.communicate()
    assert refused.code == 2
    assert f"being run by sweep night (pid {process.pid} on" in refused.err
    assert program(*SIMULATED).code == 0  # its holder is gone


def test_a_folder_with_records_and_no_plan_is_never_touched(night, program):
    (night / "sweep.json").unlink()
    before = written(night)
    ran = program(*SIMULATED)
    assert ran.code == 2
    assert "give another sweep.id, so that no record is overwritten" in ran.err
    assert written(night) == before


def test_a_start_that_was_killed_before_its_plan_was_written_is_no_obstacle(tmp_path):
    (tmp_path / "outputs" / "night").mkdir(parents=True)
    (tmp_path / "outputs" / "night" / "sweep.partial").write_text("{")
    assert run_in(tmp_path, *SIMULATED).code == 0


def test_words_are_replayed_with_what_was_typed_now(night, tmp_path, monkeypatch):
    change(night, 0, status="interrupted")
    monkeypatch.chdir(night.parents[1])
    typed = expand_resume(["sweep.resume=latest", "sweep.retry=failed"])
    assert typed == [*SIMULATED[:3], "sweep.retry=failed", "sweep.id=night"]
    assert expand_resume(["model=resnet18", "sweep.resume=null"]) == ["model=resnet18"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["sweep.resume=latest"], "none of the 0 sweeps in outputs has trials left to run"),
        (["sweep.resume=night"], "sweep.resume is night, but there is no such sweep in outputs"),
        (["sweep.resume=latest", "output_dir=other"], "none of the 0 sweeps in other"),
    ],
)
def test_what_can_not_be_gone_on_with_is_told(words, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=found):
        expand_resume(words)


def test_a_command_with_a_secret_must_be_typed_again(night, monkeypatch):
    path = night / "sweep.json"
    text = path.read_text().replace("tracking=off", "tracking.uri=***")
    path.write_text(text)
    monkeypatch.chdir(night.parents[1])
    with pytest.raises(
        UsageError, match="needs a secret, which is never stored; repeat the original command"
    ):
        expand_resume(["sweep.resume=night"])


def test_a_damaged_plan_is_told(night):
    manifest = load_manifest(night)
    (night / "sweep.json").write_text("{")
    with pytest.raises(UsageError, match="can't be read"):
        continued(manifest, night, extend=True)
    with pytest.raises(Unreadable):
        load_manifest(night)
