"""The call tree of forward passes, of real networks."""

from __future__ import annotations

import pytest
import torch

from runner.profiles.match import explained
from runner.profiles.trace import profiled


class Block(torch.nn.Module):
    def __init__(self, extra=0):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3)
        self.extra = extra

    def forward(self, x):
        x = self.conv(x)
        for _ in range(self.extra):
            x = x.sigmoid().cumsum(0)
        return x


class Network(torch.nn.Module):
    def __init__(self, extra=0):
        super().__init__()
        self.first, self.second = Block(), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.ReLU())
        self.last = Block.__new__(Block)
        Block.__init__(self.last, extra)
        self.last.conv = torch.nn.Conv2d(8, 8, 3)

    def forward(self, x):
        return self.last(self.second(self.first(x)))


def profile_of(network, named=True):
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        return profiled(
            lambda: network(x), torch.device("cpu"), network if named else None, passes=4
        )


@pytest.fixture(scope="module")
def plain():
    return profile_of(Network().eval())


def names(profile):
    return [node.name for node in profile.root.walk()]


def test_the_tree_has_the_modules_by_their_paths_and_the_operators_below(plain):
    assert plain.passes == 4
    assert [child.name for child in plain.root.children] == ["first", "second", "last"]
    found = names(plain)
    assert {"first.conv", "second.0", "last.conv"} <= set(found)
    assert found.index("first.conv") < found.index("aten::conv2d") < found.index("second")
    assert all(len(node.cpu_us) == 4 for node in plain.root.walk())
    assert not plain.by_gpu


@pytest.mark.parametrize("name", ["custom", "cuda_0", "hipster"])
def test_a_module_may_be_named_like_a_library(name):
    network = torch.nn.Sequential()
    network.add_module(name, torch.nn.Conv2d(3, 4, 3))
    found = names(profile_of(network.eval()))
    assert found.index(name) < found.index("aten::conv2d")


def test_hooks_are_gone_afterwards():
    network = Network().eval()
    profile_of(network)
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in network.modules()
    )


def test_without_named_modules_operators_are_below_the_pass():
    found = profile_of(Network().eval(), named=False)
    assert "aten::conv2d" in [child.name for child in found.root.children]


def test_operators_that_were_added_are_new_at_their_place(plain):
    found = explained(plain, profile_of(Network(extra=3).eval()))
    added = {part.what: part for part in found.parts if part.kind == "new"}
    assert {"aten::sigmoid", "aten::cumsum"} & set(added)
    assert all(part.where[1:] == ("last",) for part in added.values())
    assert all(part.new_calls == 3 for part in added.values())


def test_a_network_that_raises_leaves_no_hook_behind():
    class Raises(Network):
        def forward(self, x):
            super().forward(x)
            raise ValueError("no such size")

    network = Raises().eval()
    with pytest.raises(ValueError, match="no such size"):
        profile_of(network)
    assert not any(module._forward_hooks for module in network.modules())
