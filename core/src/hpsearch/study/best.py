"""Comparing objective values: which trial is best, and which form the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord


def best_trials(trials: Sequence[TrialRecord], directions: Sequence[str]) -> list[TrialRecord]:
    """Return the best of the complete, feasible trials alone, or their Pareto front."""
    feasible = [trial for trial in trials if trial.feasible]
    if len(directions) > 1:
        return pareto_front(feasible, directions)
    best = best_trial(feasible, directions[0])
    return [] if best is None else [best]


def best_trial(trials: Sequence[TrialRecord], direction: str) -> TrialRecord | None:
    """Return the complete trial with the best objective, the earliest of equals, or None."""
    sign = 1.0 if direction == "minimize" else -1.0
    complete = [t for t in trials if t.state is TrialState.COMPLETE and t.objectives]
    return min(complete, key=lambda t: sign * t.objectives[0] if t.objectives else 0, default=None)


def pareto_front(trials: Sequence[TrialRecord], directions: Sequence[str]) -> list[TrialRecord]:
    """Return the complete trials that no other dominates, by number.

    One trial dominates another if it is at least as good in every direction and better in one.
    Trials with equal objectives stay together; one with a NaN is never on the front.
    """
    signs = [1.0 if direction == "minimize" else -1.0 for direction in directions]
    points = [
        (tuple(s * value for s, value in zip(signs, trial.objectives, strict=True)), trial)
        for trial in trials
        if trial.state is TrialState.COMPLETE and trial.objectives
    ]
    points = [point for point in points if not any(math.isnan(value) for value in point[0])]
    # In lexicographic order a point can only be dominated by one before it, so one pass suffices.
    points.sort(key=lambda point: point[0])
    front: list[tuple[tuple[float, ...], TrialRecord]] = []
    for values, trial in points:
        if not any(_dominates(other, values) for other, _ in front):
            front.append((values, trial))
    return sorted((trial for _, trial in front), key=lambda trial: trial.number)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
