"""How strongly an objective goes with one parameter: simple measures under their own names.

They describe the trials that ran, one parameter at a time. They are no importance: a search
samples where it is good, parameters act together, and few trials say little.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

RHO, ETA_SQUARED = "\N{GREEK SMALL LETTER RHO}", "\N{GREEK SMALL LETTER ETA}\N{SUPERSCRIPT TWO}"
"""What the two measures are called in print."""

FEWEST = 8
"""With fewer trials than this no measure is given."""


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, from -1 to 1: Pearson's of the ranks, ties averaged.

    None where a side has one value only, or there are fewer than ``FEWEST`` points.
    """
    if len(x) < FEWEST:
        return None
    a, b = _ranks(x), _ranks(y)
    mean = (len(x) - 1) / 2
    covariance = sum((p - mean) * (q - mean) for p, q in zip(a, b, strict=True))
    spread = math.sqrt(sum((p - mean) ** 2 for p in a) * sum((q - mean) ** 2 for q in b))
    return covariance / spread if spread else None


def share_explained(groups: Sequence[Hashable], y: Sequence[float]) -> float | None:
    """Return the correlation ratio of ranks (eta squared), from 0 to 1.

    It is the share of the variance of the objective's ranks that lies between the groups (Pearson
    1905; on ranks it is the effect size of the Kruskal-Wallis test). None where there is one group
    only, the objective has one value only, or there are fewer than ``FEWEST`` points.
    """
    if len(y) < FEWEST:
        return None
    members = defaultdict(list)
    for group, rank in zip(groups, _ranks(y), strict=True):
        members[group].append(rank)
    mean = (len(y) - 1) / 2
    total = sum((rank - mean) ** 2 for ranks in members.values() for rank in ranks)
    between = sum(len(ranks) * (sum(ranks) / len(ranks) - mean) ** 2 for ranks in members.values())
    return between / total if total and len(members) > 1 else None


def _ranks(values: Sequence[float]) -> list[float]:
    """Return each value's rank from 0; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or values[order[end]] != values[order[start]]:
            for place in order[start:end]:
                ranks[place] = (start + end - 1) / 2
            start = end
    return ranks
