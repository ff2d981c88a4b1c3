from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes.trials import make_record, make_trial, record_of, timed
from rich.console import Console

from runner.contract import Phase
from runner.records.record import Outcome
from runner.terminal import progress as progress_module
from runner.terminal.closing import closing_lines, faults, reasons
from runner.terminal.lines import Lines
from runner.terminal.progress import SweepProgress, duration
from runner.terminal.table import show

LOG = Path("outputs/night/worker.log")


def printed(records, width=160) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(records, console)
    return console.file.getvalue()


def record_with(method: str, warmup: int, device: str = "cpu", hidden_ms: float = 0.0):
    trial = make_trial(timing={"method": method, "warmup": warmup}, device=device)
    outcome = Outcome(
        "completed",
        warmup_ms=(50.0,) * warmup,
        latency_ms=(*([] if warmup else [30.0]), *[10.0] * 50),
        figures={"hidden_device_ms": hidden_ms, "synced_ms": 20.0},
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
    text = printed([make_record(), replace(make_record(), status="failed", summary={})])
    for word in ("resnet18", "size 64", "batch 1", "warm-up 2", "method wall"):
        assert word in text.splitlines()[1]
    for word in ("p50 ms", "+- %", "mean ms", "FPS", "verdict"):
        assert word in text
    assert "0.217" in text  # the median of 0.1 and 1/3
    assert "failed" in text


def test_the_articles_table_says_what_is_wrong_with_each_row_on_a_gpu():
    records = [
        record_with("naive", 0, "cuda", hidden_ms=700.0),
        record_with("naive", 20, "cuda", hidden_ms=700.0),
        record_with("event", 20, "cuda"),
    ]
    text = printed(records)
    assert "cold start ms" in text
    assert "invalid" in text
    assert "40.00" in text  # 50 ms for the first warm-up against a median of 10
    cold, warm, event = faults(records)
    assert cold.startswith("naive w0: not synchronized: 700.00 ms of device work was still")
    assert "no warm-up" in cold
    assert warm.startswith("naive w20: not synchronized")
    assert event == "event w20: no problems: warm and synchronized"


def test_the_articles_table_is_honest_about_a_cpu():
    records = [record_with("naive", 20), record_with("wall", 20)]
    assert "harmless on a CPU" in next(iter(faults(records)))


def test_processes_of_one_trial_share_a_row():
    records = [
        replace(record_with("wall", 2), repeat=number, summary={"p50_ms": ms, "fps": 100.0})
        for number, ms in enumerate((9.9, 10.0, 10.1))
    ]
    failed = replace(records[0], repeat=3, status="failed", summary={})
    text = printed([*records, failed])
    assert "3 of 4" in text
    assert "10.00" in text
    assert "9.75 to 10.25" in text  # t with two degrees of freedom: +-4.3 * 1 % / sqrt(3)
    assert "1.0" in text
    assert "failed, valid" in text


def test_a_log_gets_one_plain_line_per_trial():
    console = Console(file=io.StringIO(), width=160)
    with SweepProgress(Lines(console), [make_record().key]) as progress:
        progress.begins("resnet18 64px", make_trial().timing)
        progress.phase(Phase.BUILD, None)
        progress.phase(Phase.TIMED, 12.0)
        progress.done(make_record(), LOG)
    assert console.file.getvalue() == (
        "[1/1] resnet18 64px b1 w2 wall: p50 0.2167 ms, 4615.38 FPS: "
        "suspect: FEW_SAMPLES NOISY NOT_CHECKED\n"
    )


def test_a_terminal_shows_trial_phase_and_remaining_time():
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    with SweepProgress(Lines(console), [make_record().key] * 2) as progress:
        progress.begins("resnet18 64px", make_trial().timing)
        progress.phase(Phase.TIMED, 12.0)
        progress.done(make_record(), LOG)
        progress.begins("resnet18 96px", make_trial().timing)
        progress.phase(Phase.TIMED, 12.0)
        progress.done(make_record(), LOG)
    text = console.file.getvalue()
    assert "timing (2 warm-ups, 4 timed), about 12 s" in text
    assert "1/2" in text
    assert "12 s left" in text


def test_the_outlook_counts_what_is_wrong_and_trusts_what_each_trial_took(monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: now_s)
    monkeypatch.setattr(progress_module, "time", clock)
    now_s = 0.0
    slow, fast = make_trial(), make_trial(timing={"warmup": 3})
    console = Console(file=io.StringIO(), width=160)
    with SweepProgress(Lines(console), [slow.key, fast.key, slow.key, fast.key]) as progress:
        for trial, seconds in ((slow, 100.0), (fast, 10.0), (slow, 100.0), (fast, 10.0)):
            progress.begins(trial.title, trial.timing)
            now_s += seconds
            failed = Outcome("failed", error={"type": "E", "message": "on fire", "trace": ""})
            good = Outcome("completed", latency_ms=(1.0, 2.0))
            progress.done(record_of(trial, failed if trial is fast else good), LOG)
    first, second, third, fourth = console.file.getvalue().splitlines()
    assert first.endswith("NOT_CHECKED; 5 min left")  # nothing is known of the fast one yet
    assert second.endswith("failed: E: on fire; see outputs/night/worker.log; 1 failed, "
                           "1 suspect, 2 min left")  # fmt: skip
    assert third.endswith("; 1 failed, 2 suspect, 10 s left")
    assert "left" not in fourth


def test_trials_that_fail_alike_are_told_once():
    failed = Outcome("failed", error={"type": "E", "message": "on fire", "trace": ""})
    trials = [make_trial(timing={"warmup": number}) for number in range(200)]
    console = Console(file=io.StringIO(), width=160)
    with SweepProgress(Lines(console), [trial.key for trial in trials]) as progress:
        for trial in trials:
            progress.begins(trial.title, trial.timing)
            progress.done(record_of(trial, failed), LOG)
    first, last = console.file.getvalue().splitlines()
    assert first.startswith("[1/200] resnet18 64px b1 w0 wall: failed: E: on fire; see outputs/")
    assert last == "199 more trials failed the same way: failed: E: on fire"
    told = list(closing_lines([record_of(trial, failed) for trial in trials], 200, LOG.parent))
    assert any(
        line.startswith("all 200 trials failed the same way: failed: E: on fire") for line in told
    )


def test_a_log_gets_the_same_lines_and_a_full_disk_costs_only_the_log(tmp_path):
    lines = Lines(Console(file=io.StringIO(), width=80))
    lines.open(tmp_path / "sweep.log", ["runner", "model=resnet18"])
    lines.print("a [line] " + "that is too long " * 9 + "to be broken")
    lines.table([make_record()])
    told = lines.console.file.getvalue()
    begin, first, *_ = (tmp_path / "sweep.log").read_text().splitlines()
    assert begin.endswith("+00:00 runner model=resnet18")
    assert first == told.splitlines()[0]
    full = Lines(Console(file=io.StringIO(), width=80))
    full.open(Path("/dev/full"), ["runner"])
    full.print("one")
    full.table([make_record()])
    assert full.console.file.getvalue().startswith("one\n")


def test_a_table_has_an_end():
    records = [replace(make_record(), key=str(number)) for number in range(1005)]
    text = printed(records)
    assert 1000 < len(text.splitlines()) < 1010
    assert text.count("verdict of all 1000: suspect") == 1
    assert "(the first 1000 of 1005; all are in MLflow and on disk)" in text


def test_durations_read_as_a_person_says_them():
    assert [duration(s) for s in (0.2, 8.4, 180, 9000)] == ["1 s", "8 s", "3 min", "2.5 h"]


def test_settings_that_differ_have_a_column():
    records = [
        replace(make_record(), trial=make_trial(timing={"cache": cache}))
        for cache in ("warm", "flush")
    ]
    assert "cache" in printed(records)
    assert "cache" not in printed(records[:1])


def reason(code, figure=None, level="suspect", **values):
    told = {
        "unit": "% around the median",
        "found": f"{code} {figure}",
        "remedy": "do it",
        "need": 0,
    }
    return {"code": code, "level": level, "figure": figure} | told | values


def test_a_reason_is_one_line_with_its_trials_and_one_remedy_for_all():
    vm = reason("VIRTUAL_MACHINE", level="note", found="a VM", remedy="repeat it")
    records = [
        replace(
            make_record(),
            key=f"k{n}",
            title=f"t{n}",
            reasons=[
                reason(
                    "WARMUP_SHORT",
                    0.003 + 0.007 * n,
                    "suspect" if n else "note",
                    unit="+% on the mean",
                    remedy=f"timing.warmup={8 - n} would have sufficed",
                    need=8 - n,
                ),
                *([reason("CPU_CONTENDED", 0.2, "invalid", found="no CPU")] if n == 2 else []),
                vm,
            ],
        )
        for n in range(3)
    ]
    assert list(reasons(records)) == [
        "CPU_CONTENDED: t2: no CPU; do it",
        "WARMUP_SHORT: t1, t2: +1.0 to +1.7% on the mean; timing.warmup=7 would have sufficed",
        "note: VIRTUAL_MACHINE: a VM; repeat it",
        "note: WARMUP_SHORT: t0: WARMUP_SHORT 0.003; timing.warmup=8 would have sufficed",
    ]
    for record in records:
        record.reasons[0]["level"] = "suspect"
    assert next(line for line in reasons(records) if "WARMUP" in line) == (
        "WARMUP_SHORT: 3 of 3 trials: +0.3 to +1.7% on the mean; timing.warmup=8 would have "
        "sufficed"
    )


def test_the_worst_process_speaks_for_its_trial_and_repeats_are_not_advised_again():
    vm = reason("VIRTUAL_MACHINE", level="note", found="a VM", remedy="repeat it")
    other = replace(make_record(), key="other", title="other", reasons=[vm])
    records = [
        replace(make_record(), repeat=n, reasons=[reason("NOISY", float(n)), vm]) for n in (1, 3, 2)
    ]
    records += [replace(make_record(), repeat=0, reasons=[vm]), other]
    title = records[0].title
    assert list(reasons(records)) == [
        f"NOISY: {title} (3 of 4): NOISY 3.0; do it",
        "note: VIRTUAL_MACHINE: a VM; repeat it",
    ]


def test_a_single_trial_is_not_named_again():
    record = replace(make_record(), reasons=[reason("NOISY", 0.1)])
    assert list(reasons([record])) == ["NOISY: NOISY 0.1; do it"]


NAMES = ("fasterrcnn_mobilenet_v3_large_320_fpn", "resnet18")


@pytest.mark.parametrize("width", [160, 100, 80, 60, 40, 20])
def test_at_any_width_numbers_are_whole_and_the_verdict_is_there(width):
    codes = ("CPU_CONTENDED", "FEW_SAMPLES", "NOISY")
    records = [
        replace(
            record_with("wall", warmup, "cuda"),
            trial=make_trial(model={"name": name}, timing={"warmup": warmup}),
            verdict="invalid",
            reasons=[
                reason(code) for code in (*codes, *(["TOO_SHORT"] if name == NAMES[0] else []))
            ],
        )
        for name in NAMES
        for warmup in (0, 20)
    ]
    text = printed(records, width)
    assert text.count("10.00") >= 4  # the median of each
    assert text.count("invalid") == 4
    for code in codes:
        assert text.count(code) == 4
    if "──" in text:  # else a line for each trial, as long as it is
        assert max(map(len, text.splitlines()[2:])) <= width
    assert all(line == line.rstrip() for line in text.splitlines())
    assert ("──" in text) == (width >= 60)
    assert (NAMES[0] in text) == (width != 60 and width != 80)  # there it is on two lines


def test_what_is_the_same_in_all_trials_stands_once_above_the_table():
    trials = [make_trial(input={"size": (side, side)}) for side in (64, 96)]
    records = [replace(make_record(), trial=trial) for trial in trials]
    _, first, head, *_ = printed(records).splitlines()
    assert first == "all trials: model resnet18, batch 1, warm-up 2, method wall"
    assert head.split()[:2] == ["size", "p50"]


def test_ways_of_timing_of_several_models_are_told_apart():
    records = [
        replace(record, trial=replace(record.trial, model=replace(record.trial.model, name=name)))
        for name in ("resnet18", "vgg11")
        for record in (record_with("naive", 0), record_with("wall", 20))
    ]
    assert "resnet18" in printed(records)
    assert [line.partition(":")[0] for line in faults(records)] == [
        "resnet18 naive w0",
        "resnet18 wall w20",
        "vgg11 naive w0",
        "vgg11 wall w20",
    ]


def test_repeats_of_pipelined_have_no_median():
    outcome = Outcome(
        "completed", latency_ms=(10.0,) * 50, figures={"synced_ms": 9.0}, effective={"inner": 1}
    )
    trial = make_trial(timing={"method": "pipelined"}, device="cuda")
    records = [record_of(replace(trial, repeat=n), outcome) for n in (0, 1)]
    text = printed(records)
    assert "111.11" in text  # images/s
    assert "10.00" not in text


def test_networks_that_scale_their_input_are_named_when_sizes_were_swept(tmp_path):
    records = [
        replace(
            make_record(),
            trial=make_trial(model={"name": "ssd300_vgg16"}, input={"size": (n, n)}),
            effective={"network_size": [300, 300]},
        )
        for n in (160, 320)
    ]
    told = [line for line in closing_lines(records, 2, tmp_path) if "resizes every image" in line]
    assert "ssd300_vgg16" in told[0]
    assert "(300)" in told[0]
    assert not any("resizes" in line for line in closing_lines(records[:1], 1, tmp_path))


def test_each_device_has_a_line_of_its_own(tmp_path):
    records = [
        timed(make_trial(), host={"cpu": "a CPU"}),
        timed(make_trial(model={"task": "simulated", "name": "s"}, device="simulated")),
    ]
    lines = list(closing_lines(records, 2, tmp_path))
    first = next(place for place, line in enumerate(lines) if line.startswith("device    cpu: "))
    assert lines[first + 1].startswith("          simulated: a scripted clock")


def test_what_is_not_there_is_counted_by_kind(tmp_path):
    failed = replace(
        make_record(), status="interrupted", verdict=None, error={"type": "x", "message": ""}
    )
    lines = list(closing_lines([make_record(), make_record(), failed], 6, tmp_path))
    assert "of 6 trials 1 interrupted, 3 not started" in lines
    failed = replace(failed, status="failed")
    lines = list(closing_lines([make_record(), make_record(), failed], 6, tmp_path))
    assert "of 6 trials 1 not completed, 3 not started; see error" in "\n".join(lines)
