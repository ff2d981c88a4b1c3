"""A profile: the call tree of a forward pass, with a time for each pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Node:
    """A scope, operator or kernel at one place of the tree.

    `cpu_us` and `gpu_us` are microseconds outside its children, one for each profiled pass;
    `calls` and `launches` of kernels are per pass.
    """

    name: str
    kind: str
    calls: float
    launches: float
    cpu_us: list[float]
    gpu_us: list[float]
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """The node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Profile:
    """The tree of `passes` forward passes on a kind of device.

    `own_code` is the hash of the user's modules that ran; None without any.
    """

    device: str
    passes: int
    root: Node
    own_code: str | None = None

    @property
    def by_gpu(self) -> bool:
        """Whether the time of kernels is known, which then counts instead of the host's."""
        return any(sum(node.gpu_us) for node in self.root.walk())
