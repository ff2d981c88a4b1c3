"""How many rounds fit into a budget, and which trials get more of them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

SHARP = 0.004  # standard error at which a change of 2 % is detected


def rounds_within(
    budget_s: float, cost_s: Sequence[float], spread: Sequence[float], usual: int, most: int
) -> list[int]:
    """Rounds for each trial, from the cost of one and the spread between its processes (a share).

    All get the same number, as many as fit, at most `usual` and at least one; what is left of
    the budget goes, round by round, to the most uncertain trial, at most `most` rounds each.
    """
    total_s = sum(cost_s)
    common = usual if total_s == 0 else min(usual, max(1, int(budget_s / total_s)))
    rounds = [common] * len(cost_s)
    left_s = budget_s - common * total_s
    if common < usual:
        return rounds  # all trials come before extra rounds for some
    uncertain = [(-one / math.sqrt(common), at) for at, one in enumerate(spread)]
    heapq.heapify(uncertain)
    while uncertain:
        error, at = heapq.heappop(uncertain)
        if -error <= SHARP:
            break
        if cost_s[at] > left_s or rounds[at] == most:
            continue  # a cheaper one may fit
        rounds[at] += 1
        left_s -= cost_s[at]
        heapq.heappush(uncertain, (-spread[at] / math.sqrt(rounds[at]), at))
    return rounds
