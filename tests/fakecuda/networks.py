"""Networks whose kernels can be counted, as a user's module beside which the program runs."""

from __future__ import annotations

import torch


class Chain(torch.nn.Module):
    """Ten kernels, one after the other."""

    def forward(self, x):
        for _ in range(10):
            x = x + 1
        return x


class OwnStream(torch.nn.Module):
    """Its work is on a stream of its own, for which it waits before it returns."""

    def __init__(self):
        super().__init__()
        self.stream = torch.cuda.Stream()

    def forward(self, x):
        with torch.cuda.stream(self.stream):
            for _ in range(10):
                x = x + 1
        self.stream.synchronize()
        return x


class Branches(torch.nn.Module):
    """Looks at a result, which no graph can hold."""

    def forward(self, x):
        return x + 1 if (x + 1).isfinite().all().item() else x
