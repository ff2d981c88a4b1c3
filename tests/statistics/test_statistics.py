"""Figures, intervals and shapes: exact where they can be, else by a small seeded simulation."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from fakes.program import ROOT

from runner.statistics.processes import combine, speed_up
from runner.statistics.quantiles import (
    clock_step,
    correlation_time,
    half_width,
    interval,
    mean_interval,
    ranks,
    samples_needed,
)
from runner.statistics.shape import drift, modes, outliers, shape_of, slow_start, steady_from
from runner.statistics.summary import summarize

sys.path.insert(0, str(ROOT / "benchmarks"))
import flags


def test_a_summary_that_can_be_checked_in_the_head():
    summary = summarize((1.0, 2.0, 3.0, 4.0), batch_size=2)
    assert (summary.n, summary.min_ms, summary.p50_ms, summary.mean_ms) == (4, 1.0, 2.5, 2.5)
    assert summary.max_ms == 4.0
    assert summary.fps == 800.0  # 2 images in 2.5 ms
    assert summary.mad_ms == pytest.approx(1.4826, rel=1e-3)
    assert summary.cv == pytest.approx(1.2909944 / 2.5)


def test_the_cold_start_is_what_the_first_call_cost_beyond_the_median():
    summary = summarize((2.0, 2.0, 2.0), batch_size=1, warmup_ms=(10.0, 3.0))
    assert (summary.first_ms, summary.cold_start_ms) == (10.0, 8.0)


@pytest.mark.parametrize(
    ("n", "known"), [(28, ""), (29, "90"), (59, "90 95"), (298, "90 95"), (299, "90 95 99")]
)
def test_a_tail_quantile_needs_enough_samples(n, known):
    summary = summarize(np.linspace(1, 2, n), batch_size=1)
    tails = {"90": summary.p90_ms, "95": summary.p95_ms, "99": summary.p99_ms}
    assert " ".join(name for name, value in tails.items() if value is not None) == known
    for name, value in tails.items():
        assert (f"p{name}_ms" in summary.why_null) == (value is None)


def test_the_articles_hundred_samples_have_no_p99_and_say_why():
    summary = summarize([1.0] * 100, batch_size=1)
    assert summary.p99_ms is None
    assert summary.why_null["p99_ms"] == "100 samples; a p99 needs 299"


def test_one_sample_has_no_spread():
    summary = summarize((5.0,), batch_size=1)
    assert summary.std_ms is None
    assert summary.p25_ms == summary.p75_ms == 5.0
    assert summary.ci_ms["p50"] is None
    assert {"std_ms", "mad_ms", "cv", "ci_ms.p50"} <= summary.why_null.keys()


def test_everything_null_has_its_reason():
    for summary in (
        summarize([5.0], 1),
        summarize([1.0, 2.0] * 20, 1, inner=7),
        summarize([1.0, 2.0] * 20, 4, pipelined_ms=2.0),
    ):
        nulls = {name for name, value in vars(summary).items() if value is None}
        assert nulls <= summary.why_null.keys()


def test_means_of_several_passes_have_no_quantiles():
    summary = summarize([0.01] * 400, batch_size=1, inner=10)
    assert summary.p50_ms is summary.p99_ms is summary.std_ms is None
    assert summary.mean_ms == pytest.approx(0.01)
    assert "mean of 10 passes" in summary.why_null["p50_ms"]


def test_pipelined_passes_have_a_throughput_and_no_latency():
    summary = summarize([9.0] * 100, batch_size=8, pipelined_ms=10.0)
    assert summary.img_s == 800.0
    assert summary.p50_ms is summary.mean_ms is summary.fps is None
    assert "not latencies" in summary.why_null["p50_ms"]


def test_nothing_is_not_summarized():
    with pytest.raises(ValueError, match="no samples"):
        summarize((), batch_size=1)


def test_the_ranks_of_the_textbook():
    assert ranks(100, 0.5) == (40, 61)
    assert [samples_needed(q) for q in (0.9, 0.95, 0.99)] == [29, 59, 299]
    assert ranks(299, 0.99)[1] == 299
    assert ranks(298, 0.99)[1] == 299  # beyond the last sample: refused
    assert ranks(100, 0.5, tau=4)[0] < 35


def test_an_interval_lies_on_samples():
    samples = [float(value) for value in range(1, 101)]
    # in an order whose parts are alike
    assert interval(np.random.default_rng(20).permutation(samples), 0.5) == (40.0, 61.0)
    assert interval(samples[:298], 0.99) is None
    assert interval([3.0] * 50, 0.5) == (3.0, 3.0)
    assert half_width([3.0] * 50) == 0.0
    assert mean_interval([3.0, 3.0, 3.0, 3.0]) == (3.0, 3.0)


def test_dependence_is_seen_and_widens_the_interval():
    random = np.random.default_rng(0)
    independent = random.standard_normal(4000)
    assert correlation_time(independent) == pytest.approx(1, abs=0.15)
    times = [correlation_time(flags.autoregressive(random, 1000, 0.6)) for _ in range(50)]
    assert np.mean(times) == pytest.approx(4, rel=0.15)  # (1 + .6) / (1 - .6)
    assert correlation_time([1.0] * 10) == 1.0
    widths = {phi: [] for phi in (0.0, 0.6)}
    for phi, found in widths.items():
        for _ in range(30):
            low, high = interval(flags.autoregressive(random, 1000, phi), 0.5)
            found.append(high - low)
    assert np.median(widths[0.6]) > 1.5 * np.median(widths[0.0])


def test_parts_of_a_run_that_differ_widen_the_interval():
    level = np.repeat([0.0, 0.4, 0.0, 0.4], 25)
    noise = 0.1 * np.random.default_rng(0).standard_normal(100)
    low, high = interval(level + noise, 0.5)
    assert low < 0.0
    assert high > 0.4


@pytest.mark.parametrize("kind", list(flags.DEPENDENT)[:-1])
def test_95_percent_intervals_hold_the_median_that_often(kind):
    """All but levels that stand out of the noise and are kept for a fifth of the run."""
    held, missing, _ = flags.coverage(1500, kind, n=100, seed=1)
    assert held >= 0.93
    assert missing == 0


def test_planted_faults_are_found_and_clean_series_are_not_blamed():
    found = flags.rates(100, seed=2)
    for machine in ("quiet", "typical", "VM", "jittery", "hostile"):
        clean = found["nothing", machine]
        assert max(clean["WARMUP_SHORT"], clean["DRIFT"], clean["BIMODAL"]) <= 0.04
        assert found["first 40 slower by half", machine]["WARMUP_SHORT"] >= 0.95
    for machine in ("quiet", "typical", "VM"):
        assert found["5 % drift", machine]["DRIFT"] >= 0.85
    for machine, least in (("quiet", 0.95), ("typical", 0.95), ("VM", 0.7), ("jittery", 0.9)):
        assert found["30 % of samples 10 % longer", machine]["BIMODAL"] >= least


def test_a_slow_start_names_the_warm_up_that_would_have_sufficed():
    samples = [20.0] * 30 + [10.0] * 90
    found = slow_start(samples, warmup=20)
    assert found.enough == 30
    assert found.bias == pytest.approx(0.1)  # 10 of 100 timed samples twice as long
    assert slow_start(samples, warmup=30) is None
    assert slow_start([10.0] * 120, warmup=20) is None
    assert slow_start([20.0, 10.0], warmup=0) is None
    assert steady_from([10.0] * 10) == 0


def test_a_slow_start_shows_beside_a_fine_core_with_many_short_spikes():
    """Timed on a shared machine: a network that slept 20 ms in its first 30 calls, then 10."""
    tail = [
        10.3,
        10.4,
        10.6,
        10.3,
        10.3,
        12.2,
        10.3,
        11.2,
        10.6,
        10.3,
        10.5,
        11.5,
        19.0,
        10.3,
        14.2,
    ]
    found = slow_start([20.3] * 29 + [22.1] + tail + [10.3] * 20 + tail, warmup=20)
    assert found.enough == 30


def test_one_outlier_is_no_slow_start():
    samples = [10.0] * 120
    samples[40] = 500.0
    assert slow_start(samples, warmup=20) is None
    assert outliers(samples) == 1


def test_a_drift_is_its_whole_change_and_not_a_slow_start():
    samples = np.linspace(10, 11, 220)
    assert drift(samples) == pytest.approx(0.095, abs=0.005)
    shape = shape_of(samples, warmup=20)
    assert shape.slow_start is None
    assert shape.drift > 0.04
    assert drift([10.0] * 100) is None
    assert drift(np.linspace(10, 11, 39)) is None  # too few to say


def test_two_modes_are_named_and_one_is_not_split():
    random = np.random.default_rng(0)
    values = np.where(random.random(200) < 0.3, 11.0, 10.0) * (1 + 0.005 * random.random(200))
    found = modes(values)
    assert (found.low_ms, found.high_ms) == pytest.approx((10.0, 11.0), rel=0.01)
    assert found.minority == pytest.approx(0.3, abs=0.08)
    assert modes(10 + random.standard_normal(200)) is None
    assert modes([10.0] * 200) is None
    assert modes([10.0, 11.0] * 19) is None  # 38 samples: too few to say


def test_processes_are_combined_by_their_log_medians():
    found = combine([10.0, 10.0, 10.0])
    assert (found.n, found.median_ms, found.spread) == (3, pytest.approx(10.0), 0.0)
    found = combine([9.0, 11.0])
    assert found.median_ms == pytest.approx(99**0.5)
    assert found.ci_ms[0] < 5 < 20 < found.ci_ms[1]  # two processes know little
    assert combine([10.0]).ci_ms is None
    with pytest.raises(ValueError, match="above 0"):
        combine([10.0, 0.0])
    with pytest.raises(ValueError, match="above 0"):
        combine([])


def test_differences_that_no_clock_tells_are_none():
    rounding = 46.0 + 1e-11 * np.repeat([0, 1, -1, 1], 10)
    assert interval(rounding, 0.5) is not None
    values = np.concatenate([np.full(90, 69.0), 46.05 + 1e-11 * np.arange(330) % 3e-11])
    assert slow_start(values, 20).enough == 90


@pytest.mark.parametrize("timed", [200, 300, 400, 600, 1000])
def test_more_samples_do_not_hide_a_slow_start(timed):
    rng = np.random.default_rng(timed)
    values = np.where(np.arange(timed + 20) < 90, 69.0, 46.0)
    assert slow_start(values, 20).enough == 90
    noisy = values + 0.3 * rng.standard_normal(timed + 20)
    assert 90 <= slow_start(noisy, 20).enough <= 110  # a stray sample behind the end may count


def test_what_becomes_slower_asks_for_no_longer_warm_up():
    rng = np.random.default_rng(1)
    values = np.where(np.arange(120) < 50, 46.0, 64.0) + 0.1 * rng.standard_normal(120)
    shape = shape_of(values, 20)
    assert shape.slow_start is None
    assert shape.drift == pytest.approx(64 / 46 - 1, rel=0.1)
    assert (shape.modes.changed_at, shape.modes.slower_later) == (30, True)


def test_two_times_that_alternate_have_no_change():
    rng = np.random.default_rng(2)
    values = np.where(rng.random(200) < 0.3, 11.0, 10.0) + 0.01 * rng.standard_normal(200)
    assert modes(values).changed_at is None
    assert modes(np.sort(values)[::-1]).slower_later is False


def test_a_speed_up_has_an_interval_between_processes():
    before, after = [10.0, 10.2, 9.9], [5.0, 5.1, 4.95]
    found = speed_up(before, after)
    assert found.value == pytest.approx(2.0, rel=0.01)
    assert found.ci[0] < found.value < found.ci[1]
    assert found.ci[1] - found.ci[0] < 0.15
    assert speed_up(before, [5.0]).ci is None  # one process tells nothing about the next
    assert speed_up([4.0, 4.0], [2.0, 2.0]).ci == (2.0, 2.0)
    with pytest.raises(ValueError, match="medians above 0"):
        speed_up([], after)


def test_the_interval_of_a_speed_up_covers_the_truth():
    random = np.random.default_rng(20261125)
    covered = 0
    for _ in range(1000):
        before = np.exp(random.normal(np.log(10), 0.02, 5))
        after = np.exp(random.normal(np.log(8), 0.04, 4))
        low, high = speed_up(list(before), list(after)).ci
        covered += low <= 1.25 <= high
    assert 930 <= covered <= 970


def test_a_slow_start_does_not_drown_in_a_small_step_later_on():
    """Ten times 60 ms, then 10.1, then 10.3: the latter alone would set where samples are cut."""
    random = np.random.default_rng(1)
    samples = np.repeat([60.3, 10.12, 10.31], [30, 22, 28]) + random.normal(0, 0.02, 80)
    found = slow_start(samples, 20)
    assert found is not None
    assert 29 <= found.enough <= 33


def test_a_tail_of_independent_samples_is_seldom_without_an_interval():
    """It was null in 3 of 10 series of 100, by correlations that were none."""
    random, q95 = np.random.default_rng(11), 1.6449
    found = [interval(random.standard_normal(100), 0.95) for _ in range(300)]
    assert sum(one is None for one in found) <= 15
    assert np.mean([one[0] <= q95 <= one[1] for one in found if one]) > 0.9


def test_the_mean_by_a_coarse_clock_is_known_to_a_step_of_it():
    samples = np.floor(10.5 + np.random.default_rng(12).normal(0, 0.5, 200))
    low, high = mean_interval(samples)
    assert high - low >= 2.0  # where t over the samples would say 0.2
    assert clock_step(samples) == 1.0
    assert clock_step(np.random.default_rng(13).normal(10, 1, 200)) == 0.0
    assert clock_step([10.0] * 50) == 0.0


def test_neighbouring_steps_of_a_clock_and_a_few_spikes_are_not_two_modes():
    random = np.random.default_rng(14)
    for _ in range(20):
        ticks = np.floor(random.uniform(5, 20) + random.normal(0, 0.3, 100))
        assert shape_of(ticks, 0).modes is None
        spikes = 10 * np.exp(0.003 * random.standard_normal(40))
        spikes[random.integers(17) :: 17] *= 1.3
        assert shape_of(spikes, 0).modes is None
    two = np.where(random.random(100) < 0.3, 12.0, 10.0) + random.normal(0, 0.01, 100)
    assert shape_of(two, 0).modes is not None


def test_a_drift_that_lasting_noise_makes_as_well_is_not_sure():
    random = np.random.default_rng(15)
    noise = np.zeros((200, 250))
    for at in range(1, 250):
        noise[:, at] = 0.9 * noise[:, at - 1] + 0.44 * random.standard_normal(200)
    found = [shape_of(10 * (1 + 0.03 * one[50:]), 0) for one in noise]
    sure = sum(one.drift is not None and one.sure_drift for one in found)
    assert sure <= 8
    steady = 10 * np.exp(0.01 * random.standard_normal(200)) * np.linspace(1, 1.05, 200)
    assert shape_of(steady, 0).drift > 0.02
    assert shape_of(steady, 0).sure_drift
