"""How far an output is from its reference."""

from __future__ import annotations

import pytest
import torch

from runner.contract import ModelError
from runner.models.guard import agreement, denormal_share, finite


def test_the_error_is_relative_to_the_norm_over_all_tensors():
    reference = {"a": torch.tensor([3.0, 0.0]), "b": [torch.tensor([4.0]), torch.tensor([7])]}
    output = {"a": torch.tensor([3.0, 0.3]), "b": [torch.tensor([4.4]), torch.tensor([8])]}
    found = agreement(output, reference, classes=False)
    assert found.rel_error == pytest.approx(0.1)  # 0.5 of 5; whole numbers do not count
    assert found.top1 is None


def test_the_share_of_denormal_numbers_is_counted():
    values = {"a": torch.tensor([0.0, 1e-40, 1.0, -1e-39]), "b": torch.tensor([3])}
    assert denormal_share(values) == 0.5
    assert denormal_share(torch.tensor([1e-40, 1.0], dtype=torch.float64)) == 0.0
    assert denormal_share(torch.tensor([1])) is None


def test_two_outputs_of_zero_agree():
    assert agreement(torch.zeros(3), torch.zeros(3), classes=False).rel_error == 0.0


def test_classes_agree_or_not():
    reference = torch.tensor([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0], [0.0, 2.0]])
    output = reference.bfloat16()
    output[1] = torch.tensor([0.0, 1.0])
    assert agreement(output, reference, classes=True).top1 == 0.75
    assert agreement(output, reference, classes=False).top1 is None


@pytest.mark.parametrize(
    ("output", "reference", "why"),
    [
        (torch.ones(2), torch.ones(3), "shapes differ from those in fp32: 2 against 3"),
        ([], torch.ones(3), "none against 3"),
        (torch.ones(1), torch.zeros(1), "is zero"),
        (torch.ones(1).long(), torch.ones(1).long(), "no floating-point numbers"),
        (torch.tensor([1.0, float("nan")]), torch.ones(2), "contains NaN or infinity"),
        (torch.tensor([float("-inf")]).half(), torch.ones(1), "contains NaN or infinity"),
        (torch.ones(1), torch.tensor([float("inf")]), "contains NaN or infinity"),
        (torch.tensor([float("inf")]), torch.tensor([float("inf")]), "contains NaN or infinity"),
    ],
)
def test_what_can_not_be_compared_says_why(output, reference, why):
    with pytest.raises(ModelError, match=why):
        agreement(output, reference, classes=False)


def test_numbers_that_are_none():
    assert finite([torch.ones(2)])
    assert not finite({"a": torch.tensor([float("nan")])})
