"""Searches through the real program: a service's capacity, and the largest batch."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest
from fakes import services
from fakes.program import run_in, with_words

from runner.records.capacities import services_of
from runner.records.manifest import load_manifest

SIMULATED = (
    *("model=simulated", "model.kwargs.kernel_ms=10", "model.kwargs.enqueue_ms=0.1"),
    *("model.kwargs.cold_ms=0", "timing.warmup=3"),
)
CAPACITY = ("sweep=capacity", *SIMULATED, "load.target_ms=60", "load.queries=600", "sweep.id=c")


def capacity_in(folder, *words):
    return run_in(folder, *with_words(CAPACITY, *words))


def test_a_capacity_is_found_and_stands_in_table_record_report_json_and_mlflow(tmp_path):
    ran = capacity_in(tmp_path)
    assert ran.code == 0, ran.out + ran.err
    assert "simulated answers up to " in ran.out
    assert "with p99 below 60 ms, of 100 without a schedule" in ran.out
    (service,) = services_of(ran.records())
    assert 50 < service.capacity.rate < 80  # exactly 61.5, by a run of a million queries
    planned = {one.folder for one in load_manifest(tmp_path / "outputs/c").trials}
    assert planned == {record.folder for record in ran.records()}
    page = (tmp_path / "outputs/c/report.html").read_text()
    assert "Latency against throughput" in page
    with sqlite3.connect(tmp_path / "outputs/mlflow.db") as store:
        found = dict(store.execute("SELECT key, value FROM metrics WHERE key LIKE 'capacity/%'"))
        keys = {key for (key,) in store.execute("SELECT DISTINCT key FROM metrics")}
    assert found["capacity/qps"] == pytest.approx(service.capacity.rate, rel=1e-3)
    assert found["capacity/qps_lo"] < found["capacity/qps"] < found["capacity/qps_hi"]
    assert {"load/offered", "load/answered", "load/busy", "lat_ms/p99"} <= keys


@pytest.mark.parametrize("done", [4, 7])  # amid the scan of the rates, and just after it
def test_a_search_that_was_interrupted_resumes_to_the_same_end(tmp_path, done):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    uncut = capacity_in(whole, "tracking=off")
    assert uncut.code == 0
    shutil.copytree(whole, cut)  # then as a kill leaves it
    manifest = json.loads((cut / "outputs/c/sweep.json").read_text())
    assert manifest["searching"] is False
    for planned in manifest["trials"][done:]:
        (cut / f"outputs/c/{planned['folder']}/record.json").unlink()
    manifest |= {"trials": manifest["trials"][:7], "searching": True}  # to the end of the scan
    (cut / "outputs/c/sweep.json").write_text(json.dumps(manifest))
    notes = run_in(cut, "latest", door="runner.export")
    assert "sweep.resume=c" in notes.out + notes.err
    ran = run_in(cut, "sweep.resume=latest")
    assert ran.code == 0, ran.out + ran.err
    assert f"resuming c: {done} of 7 trials are done" in ran.out
    folders = [{record.folder for record in one.records()} for one in (ran, uncut)]
    assert folders[0] == folders[1]
    assert "simulated answers up to " in ran.out


def test_a_target_that_no_rate_can_keep_is_reported_after_two_trials(tmp_path):
    ran = capacity_in(tmp_path, "load.target_ms=5", "tracking=off")
    assert ran.code == 0
    assert "simulated keeps p99 below 5 ms at no rate: without any queue a query takes" in ran.out
    assert len(ran.records()) == 2


def test_each_network_of_a_grid_has_its_own_search(tmp_path):
    words = [word for word in CAPACITY if "kernel_ms" not in word]
    ran = run_in(tmp_path, *words, "model.kwargs.kernel_ms=10,20", "tracking=off", "format=json")
    values = json.loads(ran.out)
    found = [answer for answer in values["answers"] if "answers up to" in answer]
    assert len(found) == 2
    assert {trial["target"] for trial in values["trials"]} >= {None, "missed"}


def test_a_dry_run_lists_the_first_trials_and_says_that_more_follow(tmp_path):
    ran = capacity_in(tmp_path, "dry_run=true")
    assert "single_stream" in ran.out
    assert "further trials follow from what these find" in ran.out
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("load.target_ms=null",), "sweep.search=capacity needs load.target_ms; give the limit"),
        (("load.rate=20",), "load.rate is 20, but sweep.search=capacity finds the rate"),
        (("load=offline", "load.target_ms=null"), "sweep.search=capacity needs load=server"),
        (("load.queries=50",), "load.queries is 50, too few for a p99; expected at least 459"),
        (("load.percentile=100",), "load.percentile is 100.0; expected at least 50 and less"),
        (("load.percentile=0",), "load.percentile is 0.0; expected at least 50 and less"),
        (("sweep.repeats=3",), "sweep.repeats is given, but sweep.search=capacity times each"),
        (("sweep.search=fastest",), "sweep.search is fastest"),
    ],
)
def test_what_can_not_be_searched_is_refused_before_anything_runs(tmp_path, words, sentence):
    ran = capacity_in(tmp_path, *words)
    assert ran.code == 2
    assert sentence in ran.err
    assert not (tmp_path / "outputs").exists()


def test_the_largest_batch_that_fits_is_found_and_what_did_not_is_no_failure(tmp_path):
    services.write(tmp_path)
    words = ("sweep=max_batch", *services.MODEL, "model.kwargs.room=20", "timing.iterations=10")
    ran = run_in(tmp_path, *words, "model.kwargs.ms=1")
    assert ran.code == 0, ran.out + ran.err
    assert "largest batch of service.Net at 16px that fits: 20 (21 is out of memory)" in ran.out
    assert "best throughput at 16px: service.Net" in ran.out
    batches = [record.trial.input.batch_size for record in ran.records()]
    assert batches[:6] == [1, 2, 4, 8, 16, 32]
    assert len(batches) <= 11
    with sqlite3.connect(tmp_path / "outputs/mlflow.db") as store:
        found = dict(store.execute("SELECT key, value FROM metrics WHERE key LIKE 'batch/%'"))
    assert found["batch/largest"] == 20
    assert found["batch/best"] in batches


def test_a_network_of_which_nothing_fits_is_a_failure(tmp_path):
    services.write(tmp_path)
    ran = run_in(
        tmp_path, "sweep=max_batch", *services.MODEL, "model.kwargs.room=0", "tracking=off"
    )
    assert ran.code == 1
    assert "even a batch of 1 does not fit" in ran.out


def test_a_search_is_no_night(tmp_path):
    ran = run_in(tmp_path, *CAPACITY[:-1], door="runner.nightly")
    assert ran.code == 2
    assert "a search runs other trials each night" in ran.err
