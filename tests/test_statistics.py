from __future__ import annotations

import pytest

from runner.statistics import summarize


def test_a_summary_that_can_be_checked_in_the_head():
    summary = summarize((1.0, 2.0, 3.0, 4.0), batch_size=2)
    assert (summary.n, summary.min_ms, summary.p50_ms, summary.mean_ms) == (4, 1.0, 2.5, 2.5)
    assert summary.max_ms == 4.0
    assert summary.fps == 800.0  # 2 images in 2.5 ms


def test_the_cold_start_is_what_the_first_call_cost_beyond_the_median():
    summary = summarize((2.0, 2.0, 2.0), batch_size=1, warmup_ms=(10.0, 3.0))
    assert (summary.first_ms, summary.cold_start_ms) == (10.0, 8.0)


@pytest.mark.parametrize(
    ("n", "known"), [(28, ""), (29, "90"), (59, "90 95"), (298, "90 95"), (299, "90 95 99")]
)
def test_a_tail_quantile_needs_enough_samples(n, known):
    summary = summarize([1.0] * n, batch_size=1)
    tails = {"90": summary.p90_ms, "95": summary.p95_ms, "99": summary.p99_ms}
    assert " ".join(name for name, value in tails.items() if value is not None) == known


def test_one_sample_has_no_spread():
    summary = summarize((5.0,), batch_size=1)
    assert summary.std_ms is None
    assert summary.p25_ms == summary.p75_ms == 5.0


def test_nothing_is_not_summarized():
    with pytest.raises(ValueError, match="no samples"):
        summarize((), batch_size=1)
