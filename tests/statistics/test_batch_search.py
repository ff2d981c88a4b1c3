"""Which batch size comes next."""

from __future__ import annotations

import pytest

from runner.statistics.batch_search import Room, Tried, next_batch

WIDE = Room(4096, None, 1e9)


def search(largest: int, room: Room = WIDE) -> tuple[list[int], str]:
    """All sizes that a search tries where up to `largest` fit, and how it ends."""
    tried: list[Tried] = []
    while isinstance(found := next_batch(tried, 1, room), int):
        assert found not in [one.batch for one in tried]
        tried.append(Tried(found, found <= largest, 100 + 2.0 * found, 0.001 * found))
    return [one.batch for one in tried], found


@pytest.mark.parametrize("largest", [1, 2, 3, 7, 8, 100, 437, 1000, 3000])
def test_the_largest_batch_is_found_in_few_steps(largest):
    tried, why = search(largest)
    found = max(batch for batch in tried if batch <= largest)
    assert found == largest or largest / found < 1.03
    assert len(tried) <= 19
    assert why == f"{min(batch for batch in tried if batch > largest)} does not fit"


def test_a_batch_that_never_fits_ends_the_search():
    assert search(0) == ([1], "even a batch of 1 does not fit")


def test_the_limit_is_tried_and_nothing_beyond():
    tried, why = search(10_000, Room(100, None, 1e9))
    assert tried == [1, 2, 4, 8, 16, 32, 64, 100]
    assert why == "sweep.max_batch=100 fits, and larger ones were not tried"


def test_memory_that_a_host_has_not_left_is_not_asked_for():
    tried, why = search(10_000, Room(4096, 400.0, 1e9))
    assert tried[-1] == 128  # 356 MiB; 256 would be 612
    assert "a batch of 256 was not tried, as 0.391 GiB of memory are left" in why
    assert "enough for about 150" in why


def test_a_pass_that_would_take_too_long_is_not_tried():
    tried, why = search(10_000, Room(4096, None, 0.1))
    assert tried[-1] == 64
    assert why == "a batch of 128 was not tried, as a pass would take about 0 s"
