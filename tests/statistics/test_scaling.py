"""Exponents and knees of what a time depends on."""

from __future__ import annotations

import pytest

from runner.statistics.scaling import PowerLaw, knee, power_law


def test_a_power_law_is_found_with_its_interval():
    places = [128, 256, 512, 1024]
    found = power_law(places, [place**1.7 * wobble for place, wobble in
                               zip(places, (1.01, 0.99, 1.0, 1.01), strict=True)])  # fmt: skip
    assert found.exponent == pytest.approx(1.7, abs=0.02)
    assert found.ci[0] < 1.7 < found.ci[1]


def test_two_places_have_an_exponent_without_an_interval_and_one_has_none():
    assert power_law([1, 2], [1.0, 4.0]).exponent == pytest.approx(2)
    assert power_law([1, 2], [1.0, 4.0]).ci is None
    assert power_law([1, 1], [1.0, 4.0]) is None
    assert power_law([1, 2], [0.0, 4.0]) is None


def test_the_knee_is_the_first_place_near_the_best():
    assert knee([1, 2, 4, 8], [10.0, 18.0, 29.0, 30.0]) == 4
    assert knee([1, 2, 4], [10.0, 20.0, 40.0]) == 4


def test_times_that_are_all_the_same_have_no_interval():
    assert power_law([64, 128, 256], [5.0, 5.0, 5.0]) == PowerLaw(0.0, None)
