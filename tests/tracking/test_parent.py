"""What the run of a sweep says in MLflow, and the lines below it, read back from a real store."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.trials import make_trial, record_of, timed

from runner.records.record import Outcome
from runner.tracking import curves, parent, runs, view
from runner.tracking.store import open_store

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own; the subject here is ours
RECORDS = [
    timed(make_trial(model={"name": name}, input={"size": (size, size)}), ms * size / 64)
    for name, ms in (("resnet18", 10.0), ("vgg11", 20.0))
    for size in (128, 64)
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(None, "runner", tmp_path_factory.mktemp("outputs"))


def described(store, sweep_dir, records=RECORDS, name=None):
    sweep_dir.mkdir(exist_ok=True)
    run_id = runs.open_parent(store, sweep_dir.name, "sizes", len(records))
    axes = parent.describe(store, run_id, name, sweep_dir, records)
    return store.client.get_run(run_id), axes


def test_a_sweep_is_named_by_what_it_varies_and_holds_its_figures(store, tmp_path):
    run, axes = described(store, tmp_path / "named", name="resolution")
    assert run.info.run_name == "resolution: resnet18, vgg11 x 2 sizes"
    assert run.data.metrics["sweep/trials"] == 4
    assert run.data.metrics["sweep/failed"] == 0
    assert run.data.metrics["best/p50_ms"] == pytest.approx(RECORDS[1].summary["p50_ms"], rel=1e-3)
    assert run.data.metrics["best/img_s"] == pytest.approx(RECORDS[1].summary["fps"], rel=1e-3)
    assert axes == ["input.size"]


def test_its_pages_are_artifacts_and_its_note_is_the_page(store, tmp_path):
    folder = tmp_path / "paged"
    folder.mkdir()
    for name in parent.ARTIFACTS:
        (folder / name).write_text("# a page\n" + "a line\n" * 2000)
    run, _ = described(store, folder)
    there = {item.path for item in store.client.list_artifacts(run.info.run_id)}
    assert there == set(parent.ARTIFACTS)
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("# a page\na line\n")
    assert note.endswith("a line\n\n... the rest is in report.md and report.html under Artifacts")
    assert len(note) <= 8000
    run, _ = described(store, tmp_path / "bare")
    assert "runner.report bare" in run.data.tags["mlflow.note.content"]


def test_each_line_is_a_run_whose_step_is_the_swept_number(store, tmp_path):
    described(store, tmp_path / "lines")
    found = {run.info.run_name: run for run in curves.there(store, "lines")}
    assert set(found) == {
        "resnet18 over input.size",
        "vgg11 over input.size",
    }
    run = found["resnet18 over input.size"]
    points = store.client.get_metric_history(run.info.run_id, "lat_ms/p50")
    assert [(point.step, round(point.value)) for point in points] == [(64, 10), (128, 20)]
    assert run.data.tags["runner.axis"] == "input.size"
    assert run.data.params["model"] == "resnet18"
    assert "input.size" not in run.data.params
    assert run.info.status == "FINISHED"


def test_lines_are_replaced_and_never_doubled(store, tmp_path):
    described(store, tmp_path / "twice", RECORDS[:2])
    described(store, tmp_path / "twice")
    assert len(curves.there(store, "twice")) == 2


def test_processes_of_a_trial_are_one_point_and_what_is_invalid_or_failed_is_none():
    pairs = [
        timed(replace(record.trial, repeat=repeat), 10.0) for record in RECORDS for repeat in (0, 1)
    ]
    (one, *_) = curves.curves_of(pairs)
    assert list(one.points) == [64, 128]
    assert " r1" not in one.name
    failed = record_of(RECORDS[0].trial, Outcome("failed"))
    assert curves.curves_of([failed, RECORDS[1]]) == []
    assert curves.curves_of([replace(RECORDS[0], verdict="invalid"), RECORDS[1]]) == []
    assert curves.curves_of([]) == []


def test_the_link_to_the_lines_opens_their_view_or_filters_them(store, tmp_path):
    described(store, tmp_path / "seen")
    link = view.curves_link(store, "seen", "input.size")
    assert link.endswith("&viewStateShareKey=seen-over-input.size&compareRunsMode=CHART")
    plain = view.curves_link(store, "unseen", "input.size")
    assert "runner.kind%60%20%3D%20%22curve%22" in plain
    assert "orderByKey=metrics.%60lat_ms/p50%60" in plain


def test_names_and_params_longer_than_a_database_holds_are_cut(store, tmp_path):
    model = {"name": "custom", "target": "a." * 200, "kwargs": {"x": "y" * 7000}}
    long = [
        timed(make_trial(model=model, seed=seed, input={"size": (size, size)}))
        for seed in (0, 1) for size in (64, 128)
    ]  # fmt: skip
    run, axes = described(store, tmp_path / "long", long)
    names = [run.info.run_name, *(one.info.run_name for one in curves.there(store, "long"))]
    assert axes == ["input.size"]
    assert len(names) == 3
    assert max(map(len, names)) == 250


def test_old_views_of_ours_go_and_those_that_people_save_stay(store, monkeypatch):
    theirs = view.VIEW_TAG + "theirs"
    store.client.set_experiment_tag(store.experiment_id, theirs, '{"name":"mine","createdAt":1}')
    monkeypatch.setattr(view, "MAX_VIEWS", 2)
    for name in ("first", "second", "third"):
        view.save_view(store, name, name)
    tags = store.client.get_experiment(store.experiment_id).tags
    kept = {tag.removeprefix(view.VIEW_TAG) for tag in tags if tag.startswith(view.VIEW_TAG)}
    assert "theirs" in kept
    assert "third" in kept
    assert len(kept) == 3
