"""Each flag: raised when it should, silent when not, with a figure and a way out."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.trials import make_trial

from runner.records.record import Outcome
from runner.statistics.summary import summarize
from runner.verdict.judge import flags, verdict_of

QUIET = {
    "run_queue_wait_share": 0.0,
    "steal_share": 0.0,
    "steal_ms": 0.0,
    "throttled_share": 0.0,
    "usable_cpus": 2,
}
COOL = {
    "sm_clock_mhz": [1980, 1980],
    "max_sm_clock_mhz": 1980,
    "event_reasons": 0x1,  # idle, when it was read between blocks
    "violation_ns": {"power": 0, "thermal": 0, "sync_boost": None},
    "watched_ns": 1000,
    "foreign_pids": [],
    "unknown": {"sync_boost_violation": "Not Supported"},
}
CLEAN = tuple(10.0 + 0.01 * value for value in np.random.default_rng(0).standard_normal(100))


def judged(
    trial=None, latency_ms=CLEAN, cpu=None, gpu=None, effective=None, why_null=None, **figures
):
    trial = trial or make_trial()
    warmup_ms = (10.0,) * trial.timing.warmup
    outcome = Outcome(
        "completed",
        warmup_ms=warmup_ms,
        latency_ms=latency_ms,
        figures=figures,
        effective={"threads": trial.runtime.threads, "finite": True} | (effective or {}),
        contention={"cpu": QUIET | (cpu or {}), "gpu": gpu and COOL | gpu},
        why_null=why_null or {},
    )
    return list(flags(trial, outcome, summarize(latency_ms, 1, warmup_ms)))


def told(flag):
    return "; ".join(filter(None, (flag.found, flag.remedy)))


def only(found, code, level):
    assert [(flag.code, flag.level) for flag in found] == [(code, level)]
    return found[0]


def on_gpu(method="event", **changes):
    return make_trial(device="cuda", timing={"method": method} | changes)


def test_a_clean_trial_is_valid():
    assert judged() == []
    assert judged(on_gpu(), gpu={"event_reasons": 0x1}) == []
    assert verdict_of([]) == "valid"


def test_naive_is_invalid_on_an_asynchronous_device_and_says_how_wrong():
    found = judged(on_gpu("naive"), gpu=COOL, hidden_device_ms=140.0, synced_ms=20.0)
    flag = only(found, "NO_SYNC", "invalid")
    assert flag.figure == 140.0
    assert "140.00 ms of device work was still running" in told(flag)
    assert "wrong by -50%" in told(flag)
    assert verdict_of(found) == "invalid"
    found = judged(on_gpu("naive"), gpu=COOL, hidden_device_ms=0.0, synced_ms=10.01)
    assert "which this mean matches by chance" in told(only(found, "NO_SYNC", "invalid"))


def test_naive_is_not_flagged_on_a_cpu_where_calls_are_synchronous():
    assert judged(make_trial(timing={"method": "naive"})) == []


def test_no_warm_up_says_by_how_much():
    cold = (1000.0, *CLEAN)
    flag = only(judged(make_trial(timing={"warmup": 0}), cold), "NO_WARMUP", "invalid")
    assert "the first iteration took 1000.00 ms against a median of 10.00" in told(flag)
    cold = (30.0, *CLEAN)
    only(judged(make_trial(timing={"warmup": 0}), cold), "NO_WARMUP", "suspect")  # +2 %
    only(judged(make_trial(timing={"warmup": 0})), "NO_WARMUP", "note")


def test_a_short_warm_up_names_the_one_that_would_have_sufficed():
    slow = tuple(20.0 if index < 10 else value for index, value in enumerate(CLEAN))
    trial = make_trial(timing={"warmup": 20})
    outcome = Outcome(
        "completed", warmup_ms=(20.0,) * 20, latency_ms=slow, contention={"cpu": QUIET}
    )
    found = list(flags(trial, outcome, summarize(slow, 1)))
    flag = only(found, "WARMUP_SHORT", "invalid")
    assert flag.figure == pytest.approx(0.1, abs=0.001)  # what it does to the mean
    assert flag.need == 30
    assert "timing.warmup=30 would have sufficed" in told(flag)


@pytest.mark.parametrize(
    ("slow_ms", "slow", "level"),
    [(10.8, 10, "note"), (12.0, 10, "suspect"), (20.0, 10, "invalid"), (10.3, 45, "suspect")],
)
def test_a_level_follows_from_what_a_slow_start_does_to_the_figures(slow_ms, slow, level):
    """+0.8, +2, +10 % on the mean; and +1.4 % on mean and median."""
    timed = tuple(slow_ms if index < slow else value for index, value in enumerate(CLEAN))
    trial = make_trial(timing={"warmup": 20})
    outcome = Outcome(
        "completed", warmup_ms=(slow_ms,) * 20, latency_ms=timed, contention={"cpu": QUIET}
    )
    found = [flag for flag in flags(trial, outcome, summarize(timed, 1)) if flag.code != "NOISY"]
    only(found, "WARMUP_SHORT", level)


def test_a_cause_that_is_only_a_note_does_not_hide_the_noise():
    rng = np.random.default_rng(3)
    timed = tuple(10 + 1.2 * rng.standard_normal(100))
    split = tuple(value * (1.02 if index % 9 else 1.0) for index, value in enumerate(timed))
    codes = {flag.code: flag.level for flag in judged(latency_ms=split)}
    assert codes["NOISY"] == "suspect"


def test_a_short_warm_up_counts_passes_where_a_sample_is_several():
    slow = tuple(20.0 if index < 10 else value for index, value in enumerate(CLEAN))
    found = judged(make_trial(timing={"warmup": 20}), slow, effective={"inner": 4})
    assert next(flag for flag in found if flag.code == "WARMUP_SHORT").need == 20 + 10 * 4


def test_drift_and_two_modes_are_suspect():
    found = {flag.code: flag for flag in judged(latency_ms=tuple(np.linspace(10, 10.6, 100)))}
    assert 0.02 < found["DRIFT"].figure < 0.06
    assert found["DRIFT"].level == "suspect"
    assert "WARMUP_SHORT" not in found
    split = tuple(value * (1.1 if index % 3 else 1) for index, value in enumerate(CLEAN))
    found = {flag.code: flag for flag in judged(latency_ms=split)}
    assert "and 11 ms (34% in the smaller one)" in told(found["BIMODAL"])


def test_noise_names_the_iterations_that_would_do():
    noisy = tuple(10 + 2 * np.random.default_rng(1).standard_normal(100))
    flag = only(judged(latency_ms=noisy), "NOISY", "suspect")
    assert flag.figure > 0.02
    assert "timing.iterations=" in told(flag)
    assert judged(make_trial(timing={"target": 0.2}), noisy) == []  # as good as asked for


def test_few_samples_can_not_be_valid():
    only(judged(latency_ms=CLEAN[:39]), "FEW_SAMPLES", "suspect")


def test_a_capped_adaptive_run_is_suspect():
    only(judged(effective={"converged": False}), "NOT_CONVERGED", "suspect")


def test_an_output_that_is_not_finite_is_suspect():
    only(judged(effective={"finite": False}), "NOT_FINITE", "invalid")


def test_a_sample_below_the_resolution_is_suspect():
    short = tuple(value / 1000 for value in CLEAN)
    found = judged(make_trial(timing={"warmup": 0, "inner": 1}), short)
    only(found[:1], "TOO_SHORT", "suspect")


@pytest.mark.parametrize(
    ("enqueue_ms", "event_ms", "queued_ms", "bound"),
    [(1.0, 10.1, 10.0, False), (8.5, 10.1, 10.0, True), (1.0, 10.6, 10.0, True)],
)
def test_a_device_that_waits_for_the_host(enqueue_ms, event_ms, queued_ms, bound):
    figures = {"enqueue_ms": enqueue_ms, "event_ms": event_ms, "queued_ms": queued_ms}
    found = judged(on_gpu(), gpu=COOL, **figures)
    assert [flag.code for flag in found] == ["HOST_BOUND"] * bound
    queued = judged(on_gpu("queued"), gpu=COOL, **figures)
    assert verdict_of(queued) == "valid"  # its number has no gaps in it


@pytest.mark.parametrize(
    ("cpu", "level", "words"),
    [
        ({"run_queue_wait_share": 0.02}, "suspect", "2.0% of the threads' time was spent waiting"),
        ({"run_queue_wait_share": 0.2}, "invalid", "20.0%"),
        ({"steal_share": 0.1, "steal_ms": 200.0}, "invalid", "stolen by the hypervisor"),
        ({"throttled_share": 0.3}, "invalid", "stopped by the cgroup's CPU quota"),
    ],
)
def test_time_that_others_took(cpu, level, words):
    assert words in told(only(judged(cpu=cpu), "CPU_CONTENDED", level))


def test_a_single_tick_of_stolen_time_is_below_the_kernels_resolution():
    assert judged(cpu={"steal_share": 0.1, "steal_ms": 10.0}) == []


def test_what_can_not_be_seen_is_not_clean():
    unknown = {"run_queue_wait_share": None, "unknown": {"run_queue_wait": "no schedstat"}}
    assert "no schedstat" in told(only(judged(cpu=unknown), "NOT_CHECKED", "suspect"))
    blind = {"event_reasons": None, "unknown": {"nvml": "driver not loaded"}}
    assert "driver not loaded" in told(only(judged(on_gpu(), gpu=blind), "NOT_CHECKED", "suspect"))
    found = judged(on_gpu(), gpu={"foreign_pids": None, "unknown": {"foreign_pids": "container"}})
    assert "can't be detected" in told(only(found, "FOREIGN_PROCESS", "note"))
    assert verdict_of(found) == "valid"


def test_a_virtual_machine_is_a_note_for_numbers_of_its_cpu():
    found = judged(cpu={"virtual_machine": True})
    assert "neighbours" in told(only(found, "VIRTUAL_MACHINE", "note"))
    assert verdict_of(found) == "valid"
    assert judged(on_gpu(), gpu=COOL, cpu={"virtual_machine": True}) == []


def test_more_threads_than_cpus():
    flag = only(judged(make_trial(runtime={"threads": 8})), "OVERSUBSCRIBED", "suspect")
    assert "8 threads on 2 usable CPUs" in told(flag)
    assert "runtime.threads=2" in told(flag)


@pytest.mark.parametrize(
    ("gpu", "level", "words"),
    [
        ({"event_reasons": 0x08}, "invalid", "hardware slowdown"),
        ({"event_reasons": 0x20}, "invalid", "software thermal slowdown"),
        ({"event_reasons": 0x40}, "invalid", "hardware thermal slowdown"),
        ({"event_reasons": 0x80}, "invalid", "power brake"),
        ({"event_reasons": 0x04}, "suspect", "power cap"),
        ({"event_reasons": 0x10}, "suspect", "sync boost"),
        ({"event_reasons_between": 0x40}, "invalid", "hardware thermal slowdown"),
        ({"violation_ns": {"thermal": 60}}, "invalid", "thermal limit for 6% of the timed part"),
        ({"violation_ns": {"thermal": 20}}, "suspect", "thermal limit for 2% of the timed part"),
        ({"violation_ns": {"power": 990}}, "suspect", "power limit for 99% of the timed part"),
        ({"sm_clock_mhz": [1980, 1800]}, "suspect", "SM clock between 1800 and 1980 MHz"),
    ],
)
def test_a_gpu_below_its_speed(gpu, level, words):
    assert words in told(only(judged(on_gpu(), gpu=gpu), "THROTTLED", level))


def test_a_limit_that_held_for_a_moment_is_no_finding():
    assert judged(on_gpu(), gpu={"violation_ns": {"thermal": 9, "power": 9}}) == []


def test_counters_that_a_gpu_does_not_have_are_unknown_and_not_clean():
    counters = dict.fromkeys(("power", "thermal", "sync_boost", "board_limit", "reliability"))
    found = judged(on_gpu(), gpu={"violation_ns": counters})
    assert "does not count violations" in told(only(found, "NOT_CHECKED", "note"))
    assert verdict_of(found) == "valid"  # reasons and clocks were polled all the same


@pytest.mark.parametrize("clocks", [[1400, 1400], [705, 705, 705]])
def test_locked_clocks_are_what_our_own_advice_asks_for(clocks):
    found = judged(on_gpu(), gpu={"sm_clock_mhz": clocks, "sm_clock_mhz_between": [210, 345]})
    assert f"was {clocks[0]} of 1980 MHz under load" in told(only(found, "LOW_CLOCK", "note"))
    assert verdict_of(found) == "valid"


def test_clocks_between_blocks_are_those_of_an_idle_gpu_and_no_finding():
    assert judged(on_gpu(), gpu={"sm_clock_mhz_between": [345, 1980]}) == []


def test_what_was_not_looked_at_after_the_timing_is_not_clean():
    for why_null in ({"contention": "worker died"}, {"contention.cpu": "worker died"}):
        outcome = Outcome(
            "completed", warmup_ms=(10.0, 10.0), latency_ms=CLEAN, figures={}, why_null=why_null
        )
        found = flags(make_trial(), outcome, summarize(CLEAN, 1))
        assert "worker died" in told(only(found, "NOT_CHECKED", "suspect"))


@pytest.mark.parametrize("name", ["contention.gpu.load", "effective.finite"])
def test_a_device_that_fails_after_the_last_sample_leaves_no_clean_number(name):
    ecc = "AcceleratorError: CUDA error: uncorrectable ECC error encountered"
    outcome = Outcome("completed", (10.0, 10.0), CLEAN, figures={}, why_null={name: ecc})
    found = flags(make_trial(), outcome, summarize(CLEAN, 1))
    failed = [flag for flag in found if "uncorrectable ECC error" in flag.found]
    only(failed, "NOT_CHECKED", "suspect")
    assert verdict_of(found) == "suspect"


@pytest.mark.parametrize("method", ["event", "queued", "graph"])
def test_work_on_a_stream_that_events_do_not_see_is_invalid(method):
    found = judged(on_gpu(method), gpu=COOL, hidden_device_ms=3.0)
    assert "another stream" in told(only(found, "NO_SYNC", "invalid"))
    assert judged(on_gpu(method), gpu=COOL, hidden_device_ms=0.04) == []
    assert judged(on_gpu("wall"), gpu=COOL, hidden_device_ms=0.0) == []


def test_a_network_that_went_into_training_mode_is_invalid():
    only(judged(effective={"eval": False}), "TRAINING_MODE", "invalid")


def test_others_on_the_gpu_are_suspect():
    flag = only(judged(on_gpu(), gpu={"foreign_pids": [17]}), "FOREIGN_PROCESS", "suspect")
    assert "17" in told(flag)


def test_a_simulated_device_is_disturbed_by_nobody():
    trial = make_trial(model={"task": "simulated"}, device="simulated")
    outcome = Outcome("completed", warmup_ms=(10.0, 10.0), latency_ms=(10.0,) * 100)
    assert list(flags(trial, outcome, summarize([10.0] * 100, 1))) == []


def test_the_cause_of_noise_silences_it_and_the_worst_comes_first():
    slow = (12.0,) * 30 + CLEAN[:70]
    found = judged(
        make_trial(timing={"warmup": 20}),
        latency_ms=slow,
        cpu={"steal_share": 0.02, "steal_ms": 50.0},
    )
    assert [(flag.code, flag.level) for flag in found] == [
        ("WARMUP_SHORT", "invalid"),
        ("CPU_CONTENDED", "suspect"),
    ]


@pytest.mark.parametrize(
    ("after", "words"),
    [(14.0, "it was the slower one: the clocks fell"), (7.0, "it was the faster one; warm up")],
)
def test_a_single_change_of_speed_is_told_with_its_place(after, words):
    changed = CLEAN[:70] + tuple(after / 10 * value for value in CLEAN[:40])
    found = judged(latency_ms=changed)
    text = told(next(flag for flag in found if flag.code == "BIMODAL"))
    assert "from timed sample 71 on" in text
    assert words in text


def test_a_cold_naive_trial_is_compared_with_a_warm_pass():
    cold = (1500.0,) + (43.0,) * 99
    trial = on_gpu("naive", warmup=0)
    found = judged(trial, latency_ms=cold, gpu={"event_reasons": 1}, synced_ms=61.0, event_ms=46.0)
    text = told(next(flag for flag in found if flag.code == "NO_SYNC"))
    assert "a warm pass takes 46.00 ms, which makes this mean wrong by +25%" in text


@pytest.mark.parametrize(
    ("precision", "explained", "beyond"),
    [("fp32", 9e-5, 5e-3), ("fp16", 1e-3, 2e-2), ("amp_bf16", 1e-2, 0.1), ("tf32", 1e-3, 2e-2)],
)
def test_an_error_beyond_what_the_precision_explains_is_suspect(precision, explained, beyond):
    trial = make_trial(runtime={"precision": precision})
    assert judged(trial, rel_error=explained) == []
    flag = only(judged(trial, rel_error=beyond), "WRONG_OUTPUT", "suspect")
    assert flag.figure == beyond
    assert f"differs from fp32 by {beyond:.1%}" in told(flag)


def test_an_output_that_could_not_be_compared_is_not_clean():
    trial = make_trial(runtime={"precision": "fp16"})
    why = {"figures.rel_error": "ModelError: the output has other shapes than that in fp32"}
    flag = only(judged(trial, rel_error=None, why_null=why), "NOT_CHECKED", "suspect")
    assert "could not be compared with fp32: ModelError: the output has" in told(flag)


def test_boxes_in_another_order_are_no_fault():
    trial = make_trial(model={"name": "ssd", "task": "detection"})
    only(judged(trial, rel_error=0.5), "WRONG_OUTPUT", "note")


def test_a_compiler_at_work_in_the_timed_part_is_told():
    flag = only(judged(effective={"recompilations": 3}), "RECOMPILED", "invalid")
    assert "recompiled 3 times" in told(flag)
    assert judged(effective={"recompilations": 0, "graph_breaks": 0}) == []
    only(judged(effective={"graph_breaks": 2}), "GRAPH_BREAKS", "note")


@pytest.mark.parametrize(
    ("taken", "cause", "remedy"),
    [
        ("run_queue_wait", "waiting for a CPU that others used", "stop other programs"),
        ("steal", "stolen by the hypervisor", "other virtual machines on the same host"),
        ("throttled", "stopped by the cgroup's CPU quota", "raise the quota of this container"),
    ],
)
def test_the_remedy_is_that_of_the_cause(taken, cause, remedy):
    flag = only(judged(cpu={f"{taken}_share": 0.03, "steal_ms": 100.0}), "CPU_CONTENDED", "suspect")
    assert cause in told(flag)
    assert remedy in flag.remedy


def test_of_a_disturbed_machine_the_disturbance_is_told_and_not_what_it_did():
    drifting = tuple(10.0 * (1 + at / 200) for at in range(100))
    assert {flag.code for flag in judged(latency_ms=drifting)} == {"DRIFT"}
    found = judged(latency_ms=drifting, cpu={"run_queue_wait_share": 0.8})
    assert [flag.code for flag in found] == ["CPU_CONTENDED"]


def test_a_run_that_its_budget_cut_short_is_told_to_raise_that():
    trial = make_trial(timing={"iterations": 100, "max_seconds": 2.0})
    flag = only(judged(trial, latency_ms=CLEAN[:20]), "FEW_SAMPLES", "suspect")
    assert "raise timing.max_seconds=2, which cut the run short" in flag.remedy
