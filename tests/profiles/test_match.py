"""Two call trees aligned: what grew, what is new, and what replaced what."""

from __future__ import annotations

import pytest

from runner.profiles.match import explained
from runner.profiles.tree import Node, Profile


def node(name, own_us=0.0, *children, calls=1.0, gpu_us=0.0, launches=0.0):
    """A node whose passes differ by little."""
    cpu = [own_us * (1 + 0.001 * number) for number in range(5)]
    gpu = [gpu_us * (1 + 0.001 * number) for number in range(5)]
    kind = "kernel" if gpu_us else "operator"
    return Node(name, kind, calls, launches, cpu, gpu, list(children))


def profile(*children):
    return Profile("cpu", 5, node("runner::pass", 10.0, *children))


def told(found):
    return [(one.kind, one.what, one.where[1:]) for one in found.parts]


def test_profiles_that_are_equal_explain_nothing():
    found = explained(profile(node("aten::conv2d", 100.0)), profile(node("aten::conv2d", 100.0)))
    assert (found.parts, found.explained, found.change_us) == ((), None, 0)


def test_an_operator_that_grew_is_named_with_its_place_and_share():
    def network(us):
        return profile(node("layer1", 1.0, node("aten::conv2d", us)), node("aten::relu", 5.0))

    found = explained(network(100.0), network(150.0))
    assert told(found) == [("grew", "aten::conv2d", ("layer1",))]
    (part,) = found.parts
    assert part.share == pytest.approx(1.0)
    assert part.change_us == pytest.approx(50.0, rel=0.01)
    assert found.explained == pytest.approx(1.0)


def test_what_is_new_and_what_is_gone_are_told_apart_from_what_grew():
    old = profile(node("aten::conv2d", 100.0), node("layer1", 0.0, node("aten::pad", 20.0)))
    new = profile(node("aten::conv2d", 100.0), node("layer1", 0.0), node("aten::copy_", 70.0))
    found = explained(old, new)
    assert told(found) == [("new", "aten::copy_", ()), ("gone", "aten::pad", ("layer1",))]
    assert [round(one.share, 1) for one in found.parts] == [1.4, -0.4]


def test_renamed_kernels_are_matched_below_their_common_ancestor():
    def network(*kernels):
        convolution = node("aten::cudnn_convolution", 3.0, *kernels, launches=len(kernels))
        return profile(node("conv1", 1.0, node("aten::conv2d", 2.0, convolution)))

    old = network(node("sm80_xmma_fprop_64x64", gpu_us=40.0))
    new = network(node("sm90_xmma_fprop_128x64", gpu_us=50.0), node("nchwToNhwcKernel", gpu_us=6.0))
    found = explained(old, new)
    assert found.unit == "gpu"
    assert told(found) == [
        (
            "replaced",
            "sm80_xmma_fprop_64x64 -> sm90_xmma_fprop_128x64, nchwToNhwcKernel",
            ("conv1", "aten::conv2d", "aten::cudnn_convolution"),
        )
    ]
    assert (found.old_launches, found.new_launches) == (1, 2)
    assert found.parts[0].share == pytest.approx(1.0)


def test_noise_between_passes_is_no_difference():
    noisy = node("aten::conv2d", 0.0)
    sides = [[100.0, 120.0, 90.0, 105.0, 98.0], [104.0, 93.0, 118.0, 99.0, 110.0]]
    profiles = [profile(Node(noisy.name, "operator", 1.0, 0.0, us, [0.0] * 5, [])) for us in sides]
    assert told(explained(*profiles)) == []


def test_one_operator_at_many_places_is_summed_up():
    def network(us):
        layers = (node(f"layer{n}", 0.0, node("aten::conv2d", us)) for n in range(4))
        return profile(*layers)

    found = explained(network(100.0), network(110.0))
    assert len(found.parts) == 4
    (total,) = found.by_operator
    assert (total.what, total.kind) == ("aten::conv2d", "grew")
    assert total.share == pytest.approx(1.0)


def test_a_faster_side_is_explained_by_what_shrank():
    found = explained(profile(node("aten::mm", 100.0)), profile(node("aten::mm", 60.0)))
    assert told(found) == [("shrank", "aten::mm", ())]
    assert found.parts[0].share == pytest.approx(1.0)
