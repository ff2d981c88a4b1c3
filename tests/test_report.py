from __future__ import annotations

import io
from dataclasses import replace

from conftest import make_trial, record_of
from rich.console import Console
from test_record import make_record

from runner.record import Outcome, trial_values
from runner.report.closing import advice
from runner.report.progress import SweepProgress, duration
from runner.report.table import methods_table, processes_table, results_table


def printed(renderable) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(renderable)
    return console.file.getvalue()


def record_with(method: str, warmup: int, device: str = "cpu", hidden_ms: float = 0.0):
    trial = make_trial(timing={"method": method, "warmup": warmup}, device=device)
    outcome = Outcome(
        "completed",
        warmup_ms=(50.0,) * warmup,
        latency_ms=(*([] if warmup else [30.0]), *[10.0] * 50),
        series={"hidden_device_ms": hidden_ms, "synced_ms": 20.0},
        contention={
            "cpu": {"run_queue_wait_share": 0.0, "steal_share": 0.0, "throttled_share": 0.0},
            "gpu": {
                "sm_clock_mhz": [1980],
                "max_sm_clock_mhz": 1980,
                "event_reasons": 0,
                "foreign_pids": [],
            },
        },
    )
    return record_of(trial, outcome)


def test_the_table_names_each_trial_and_its_figures():
    text = printed(
        results_table([make_record(), replace(make_record(), status="failed", summary={})])
    )
    for word in (
        "model",
        "size",
        "batch",
        "warm-up",
        "method",
        "p50 ms",
        "mean ms",
        "FPS",
        "verdict",
    ):
        assert word in text
    assert "0.217" in text  # the median of 0.1 and 1/3
    assert "failed" in text


def test_the_articles_table_says_what_is_wrong_with_each_row_on_a_gpu():
    text = printed(
        methods_table(
            [
                record_with("naive", 0, "cuda", hidden_ms=700.0),
                record_with("naive", 20, "cuda", hidden_ms=700.0),
                record_with("event", 20, "cuda"),
            ]
        )
    )
    assert text.count("not synchronized: 700.00 ms of device work still") == 2
    assert "no warm-up" in text
    assert "nothing: warm and synchronized" in text
    assert "cold start ms" in text
    assert "invalid" in text
    assert "40.00" in text  # 50 ms for the first warm-up against a median of 10


def test_the_articles_table_is_honest_about_a_cpu():
    text = printed(methods_table([record_with("naive", 20), record_with("wall", 20)]))
    assert "as a method nothing on a CPU" in text


def test_processes_of_one_trial_share_a_row():
    records = [
        replace(record_with("wall", 2), repeat=number, latency_ms=[ms] * 50)
        for number, ms in enumerate((9.9, 10.0, 10.1))
    ]
    text = printed(processes_table([*records, replace(records[0], repeat=3, status="failed")]))
    assert "3 of 4" in text
    assert "10.00" in text
    assert "9.75 to 10.25" in text  # t with two degrees of freedom: +-4.3 * 1 % / sqrt(3)
    assert "1.0" in text
    assert "failed, valid" in text


def test_a_log_gets_one_plain_line_per_trial():
    console = Console(file=io.StringIO(), width=160)
    with SweepProgress(console, total=1) as progress:
        progress.trial("resnet18 64px", "2 warm-ups, 4 timed")
        progress.phase("build", None)
        progress.phase("timed", 12.0)
        progress.done(make_record())
    assert console.file.getvalue() == (
        "[1/1] resnet18 64px b1 w2 wall: p50 0.2167 ms, 4615.38 FPS: suspect\n"
    )


def test_a_terminal_shows_trial_phase_and_remaining_time():
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    with SweepProgress(console, total=2) as progress:
        progress.trial("resnet18 64px", "2 warm-ups, 4 timed")
        progress.phase("timed", 12.0)
        progress.done(make_record())
        progress.trial("resnet18 96px", "2 warm-ups, 4 timed")
        progress.phase("timed", 12.0)
        progress.done(make_record())
    text = console.file.getvalue()
    assert "timing (2 warm-ups, 4 timed), about 12 s" in text
    assert "1/2" in text
    assert "12 s left" in text


def test_durations_read_as_a_person_says_them():
    assert [duration(s) for s in (0.2, 8.4, 180, 9000)] == ["1 s", "8 s", "3 min", "2.5 h"]


def test_settings_that_differ_have_a_column():
    records = [
        replace(make_record(), trial=trial_values(make_trial(timing={"cache": cache})))
        for cache in ("warm", "flush")
    ]
    assert "cache" in printed(results_table(records))
    assert "cache" not in printed(results_table(records[:1]))


def test_advice_that_holds_for_several_is_given_once():
    noisy = {"code": "NOISY", "level": "suspect", "figure": 0.1, "advice": "make it quieter"}
    vm = {"code": "VIRTUAL_MACHINE", "level": "note", "figure": None, "advice": "take care"}
    records = [
        replace(make_record(), key=f"k{n}", title=f"t{n}", reasons=[noisy, vm]) for n in range(3)
    ]
    assert advice(records) == ["3 trials: make it quieter", "note: take care"]
    assert advice([*records[:2], replace(records[2], reasons=[])]) == [
        "t0, t1: make it quieter",
        "note: t0, t1: take care",
    ]


def test_the_worst_process_speaks_for_its_trial():
    def noisy(figure):
        return [{"code": "NOISY", "level": "suspect", "figure": figure, "advice": f"{figure}"}]

    records = [replace(make_record(), repeat=n, reasons=noisy(n)) for n in (1, 3, 2)]
    records.append(replace(make_record(), repeat=0, reasons=[]))
    assert advice(records) == [f"{records[0].title} (3 of 4): 3"]
