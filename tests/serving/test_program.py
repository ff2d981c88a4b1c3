"""Services and requests through the real program, with a network of which the time is known."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from fakes import services
from fakes.program import run_in, with_words
from PIL import Image

SERVER = ("load=server", "load.queries=200", "timing.warmup=5", "tracking=off")
STALL = ("model.kwargs.ms=2", "model.kwargs.at=55", "model.kwargs.stall_ms=800")


@pytest.fixture
def served(tmp_path):
    services.write(tmp_path)
    return lambda *words: run_in(tmp_path, *with_words(services.MODEL, *words))


@pytest.mark.alone
def test_a_network_that_stalls_makes_every_query_late_that_came_meanwhile(served):
    ran = served(*SERVER, *STALL, "load.rate=50", "load.arrivals=constant")
    assert ran.code == 0, ran.out + ran.err
    (record,) = ran.records()
    latency_ms = np.array(record.latency_ms)
    # the 50th stalls for 800 ms; 40 queries come meanwhile, the last of which hardly waits
    assert latency_ms[50] > 790
    assert 36 <= sum(latency_ms > 40) <= 48
    assert latency_ms[55] == pytest.approx(latency_ms[50] - 5 * (20 - 2), abs=30)
    assert np.median(latency_ms) < 40


@pytest.mark.alone
def test_the_same_stall_is_one_slow_query_to_a_client_that_waits(served):
    ran = served(
        "load=single_stream", "load.queries=200", "timing.warmup=5", "tracking=off", *STALL
    )
    (record,) = ran.records()
    assert sum(np.array(record.latency_ms) > 40) <= 2


def test_rates_in_table_record_json_export_and_mlflow(tmp_path):
    words = ("load=server", "load.rate=10,20", "load.queries=200", "load.target_ms=500")
    simulated = ("model=simulated", "model.kwargs.kernel_ms=15", "load.percentile=90")
    ran = run_in(tmp_path, *simulated, *words)  # whose clock nothing disturbs
    assert ran.code == 0, ran.out + ran.err
    assert "rate /s" in ran.out
    assert "simulated at 10/s: target of p90 below 500 ms met" in ran.out
    first, second = sorted(ran.records(), key=lambda one: one.trial.load.rate)
    assert (first.trial.load.rate, second.trial.load.rate) == (10.0, 20.0)
    assert first.effective["target"] == "met"
    assert 0.5 < first.figures["offered_qps"] / 10 < 2
    with sqlite3.connect(tmp_path / "outputs/mlflow.db") as store:
        params = dict(store.execute("SELECT key, value FROM params WHERE key LIKE 'load%'"))
        keys = [key for (key,) in store.execute("SELECT key FROM metrics")]
    assert params["load"] == "server"
    assert {"load.rate", "load.target_ms", "load.queries"} <= params.keys()
    assert keys.count("load/answered") >= 2
    table = run_in(tmp_path, "latest", door="runner.export")
    assert table.code == 0, table.err
    assert table.out.splitlines()[1].count("met")


def test_what_an_interrupt_leaves_of_a_load_is_kept(served):
    ran = served(*SERVER, "load.rate=20", "timing.timeout_s=4", "model.kwargs.ms=1")
    (record,) = ran.records()
    assert record.status == "timed_out"
    assert 20 < len(record.latency_ms) < 120  # those up to the last full second


@pytest.mark.alone
def test_a_whole_request_contains_the_network_and_is_the_sum_of_its_phases(served):
    ran = served("pipeline=e2e", "timing.iterations=40", "model.kwargs.ms=20", "tracking=off")
    assert ran.code == 0, ran.out + ran.err
    (record,) = ran.records()
    figures = record.figures
    assert figures["forward_ms"] == pytest.approx(20, rel=0.1)
    assert figures["phases_sum_ms"] == pytest.approx(record.summary["p50_ms"], rel=0.15)
    assert {"decode", "prep", "forward", "post", "sum"} <= set(ran.out.split())


def test_an_overlapped_request_says_that_workers_prepare_the_next_meanwhile(served):
    words = ("pipeline.workers=1", "pipeline.overlap=true", "timing.iterations=20")
    ran = served("pipeline=e2e", *words, "tracking=off")
    assert ran.code == 0, ran.out + ran.err
    (record,) = ran.records()
    assert any(one["code"] == "PHASES" for one in record.reasons)


@pytest.mark.parametrize("decoder", ["pil", "torchvision"])
def test_a_broken_image_of_the_user_fails_the_trial_and_is_named(served, tmp_path, decoder):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (30, 20)).save(photos / "a.jpg", "JPEG")
    (photos / "b.jpg").write_bytes(b"no JPEG")
    words = ("pipeline=e2e", "pipeline.images=photos", f"pipeline.decoder={decoder}")
    ran = served(*words, "tracking=off")
    assert ran.code == 1
    assert "photos/b.jpg can't be decoded" in ran.out


def test_a_folder_without_images_is_refused_before_anything_runs(served, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = served("pipeline=e2e", "pipeline.images=empty", "tracking=off")
    assert ran.code == 2
    assert "pipeline.images=empty has no JPEG; expected files that end in" in ran.err
