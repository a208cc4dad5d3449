"""Comparing objective values: which trial is best, and which form the Pareto front.

Only complete and feasible trials are compared, and none with a NaN. Everything below works on
costs: one number for each direction, of which lower is better.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord

Costs: TypeAlias = tuple[float, ...]
"""A trial's objectives, with the sign turned of those that are maximized."""

DIRECTIONS: Final = ("minimize", "maximize")
"""What a study can do with each objective."""

_FEW_PAIRS: Final = 64
"""So few pairs of points are compared one by one, which is faster than to divide them."""


# Trials.


def best_trial(trials: Iterable[TrialRecord], direction: str) -> TrialRecord | None:
    """Return the trial with the best objective, the earliest of equals, or None."""
    compared, points = _compared(trials, (direction,))
    best = min(range(len(points)), key=points.__getitem__, default=None)
    return None if best is None else compared[best]


def pareto_front(trials: Iterable[TrialRecord], directions: Sequence[str]) -> list[TrialRecord]:
    """Return the trials that no other dominates, in the order given.

    One trial dominates another if it is at least as good in every direction and better in one.
    Trials with equal objectives stay together.
    """
    compared, points = _compared(trials, directions)
    return [compared[index] for index in front(points)]


def best_of(trials: Iterable[TrialRecord], directions: Sequence[str]) -> list[TrialRecord]:
    """Return the best trial alone, or the Pareto front with several directions."""
    if len(directions) > 1:
        return pareto_front(trials, directions)
    best = best_trial(trials, directions[0])
    return [] if best is None else [best]


def ranked(trials: Iterable[TrialRecord], directions: Sequence[str]) -> list[TrialRecord]:
    """Return the trials that can be compared, the best first and equals in the order given.

    With several directions the Pareto front comes first. The front and the rest are each sorted by
    the first objective, then by the second, and so on.
    """
    compared, points = _compared(trials, directions)
    leading = set(front(points)) if len(directions) > 1 else set()
    order = sorted(range(len(points)), key=lambda index: (index not in leading, points[index]))
    return [compared[index] for index in order]


def costs_of(trial: TrialRecord, directions: Sequence[str]) -> Costs | None:
    """Return a trial's costs, None unless it is complete, feasible and without a NaN."""
    if trial.state != "complete" or not trial.objectives or not trial.feasible:
        return None
    costs = tuple(
        -value if direction == "maximize" else value
        for value, direction in zip(trial.objectives, directions, strict=True)
    )
    return None if any(map(math.isnan, costs)) else costs


def _compared(
    trials: Iterable[TrialRecord], directions: Sequence[str]
) -> tuple[list[TrialRecord], list[Costs]]:
    """Return the trials that have costs, and these."""
    compared, points = [], []
    for trial in trials:
        costs = costs_of(trial, directions)
        if costs is not None:
            compared.append(trial)
            points.append(costs)
    return compared, points


# Costs.


def dominates(one: Costs, other: Costs) -> bool:
    """Whether one point is at least as good as another everywhere, and better somewhere."""
    return one != other and _covers(one, other, 0)


def front(points: Sequence[Costs]) -> list[int]:
    """Return the indices, in order, of the points that no other dominates; none that has a NaN.

    It divides and conquers (Kung, Luccio and Preparata, "On finding the maxima of a set of
    vectors", 1975): n points of two objectives take time in n log n, and each further objective
    adds a factor of log n.
    """
    distinct = {point for point in points if not any(map(math.isnan, point))}
    undominated = set(_undominated(sorted(distinct)))
    return [index for index, point in enumerate(points) if point in undominated]


def _undominated(points: list[Costs]) -> list[Costs]:
    """Return the front of distinct points in lexicographic order."""
    if len(points) < 2:
        return points
    half = len(points) // 2
    kept = _undominated(points[:half])
    # None of the first half is worse in the first objective than any of the second half.
    return kept + _uncovered(_undominated(points[half:]), kept, 1)


def _uncovered(points: list[Costs], others: list[Costs], start: int) -> list[Costs]:
    """Return the points that none of the others is at least as good as, from ``start`` on."""
    if not points or not others:
        return points
    left = len(points[0]) - start
    if left == 1:
        lowest = min(other[start] for other in others)
        return [point for point in points if point[start] < lowest]
    if len(points) * len(others) <= _FEW_PAIRS:
        return [p for p in points if not any(_covers(other, p, start) for other in others)]
    if left == 2:
        pairs = sorted(other[start:] for other in others)
        steps = [pair[0] for pair in pairs]
        lows = [math.inf, *accumulate((pair[1] for pair in pairs), min)]
        found = (bisect_right(steps, point[start]) for point in points)
        return [p for p, at in zip(points, found, strict=True) if not at or p[start + 1] < lows[at]]
    values = sorted({point[start] for point in (*points, *others)})
    if len(values) == 1:
        return _uncovered(points, others, start + 1)
    middle = values[(len(values) - 1) // 2]
    low, high = _split(points, start, middle)
    low_others, high_others = _split(others, start, middle)
    high = _uncovered(high, low_others, start + 1)
    return _uncovered(low, low_others, start) + _uncovered(high, high_others, start)


def _split(points: list[Costs], index: int, middle: float) -> tuple[list[Costs], list[Costs]]:
    return (
        [point for point in points if point[index] <= middle],
        [point for point in points if point[index] > middle],
    )


def _covers(one: Costs, other: Costs, start: int) -> bool:
    return all(one[index] <= other[index] for index in range(start, len(one)))
