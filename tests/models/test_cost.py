"""FLOPs, parameters and bytes, against figures that are known."""

from __future__ import annotations

import pytest
import torch
import torchvision

from runner.contract import ModelError
from runner.models.cost import cost_of


@pytest.mark.parametrize(
    ("name", "gmac", "millions"),  # as torchvision's documentation has them at 224 px
    [("resnet50", 4.09, 25.557), ("vit_b_16", 17.56, 86.568), ("mobilenet_v3_large", 0.22, 5.483)],
)
def test_flops_are_twice_the_published_multiply_adds(name, gmac, millions):
    with torch.device("meta"), torch.inference_mode():
        network = torchvision.models.get_model(name, weights=None).eval()
        images = torch.empty(4, 3, 224, 224)
        found = cost_of(network, (images,))
        assert found.gflop == pytest.approx(2 * 4 * gmac, rel=0.02)
        assert found.parameters == pytest.approx(millions * 1e6, rel=1e-3)
        half = cost_of(network.to(torch.bfloat16), (images.to(torch.bfloat16),))
    assert half.gflop == found.gflop
    assert half.weights_mib == pytest.approx(found.weights_mib / 2, rel=1e-3)


def test_what_depends_on_the_data_is_counted_by_a_real_pass():
    class Depends(torch.nn.Linear):
        def forward(self, value):
            return super().forward(value[value[:, 0] > 0])

    found = cost_of(Depends(4, 8), (torch.tensor([[1.0] * 4, [-1.0] * 4, [2.0] * 4]),))
    assert found.gflop == 2 * 2 * 4 * 8 / 1e9


def test_a_network_of_which_nothing_is_counted_says_so():
    with pytest.raises(ModelError, match="no matrix product or convolution"):
        cost_of(torch.nn.ReLU(), (torch.ones(3),))
