"""A :class:`Threshold`: a bound that a metric of each trial has to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.errors import brief
from hpsearch.validators import is_finite


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound that a metric of each trial has to keep, whichever backend suggests the trial.

    Attributes:
        metric: The metric's name; the constraint in a trial's record has the same name.
        bound: The value that the metric may just reach, a finite number.
        at_most: Whether the metric has to stay at most at the bound; else at least.
        objective: Which of the trial's objectives the metric is, from 0; None for what the trial
            annotates under the metric's name.
    """

    metric: str
    bound: float
    at_most: bool
    objective: int | None = None

    def beyond(self, value: float | None) -> float:
        """Return how far a value is beyond the bound; at most 0 where it keeps the bound.

        A metric without a value is infinitely far beyond.
        """
        if value is None:
            return math.inf
        return float(value - self.bound if self.at_most else self.bound - value)

    def __str__(self) -> str:
        place = "" if self.objective is None else f" (objective {self.objective})"
        return f"{'at most' if self.at_most else 'at least'} {self.bound!r}{place}"


def bare_name(metric: str) -> str:
    """Return a metric's name without ``eval_``, or W&B's ``eval/``, in front of it.

    A Trainer puts that there; ``loss``, ``eval_loss`` and ``eval/loss`` are one metric.
    """
    return metric.replace("eval/", "eval_", 1).removeprefix("eval_")


def check_thresholds(stated: Any, directions: Sequence[str]) -> tuple[Threshold, ...]:
    """Return thresholds as a tuple.

    Args:
        stated: What somebody states.
        directions: The search's directions.

    Raises:
        ValueError: They are not thresholds, or not for this search, or two are for one metric.
    """
    if not isinstance(stated, list | tuple) or not all(isinstance(t, Threshold) for t in stated):
        raise ValueError(f"{brief(stated)}, expected a list of Threshold")
    for threshold in stated:
        objective = threshold.objective
        if (
            not isinstance(threshold.metric, str)
            or not is_finite(threshold.bound)
            or not isinstance(threshold.at_most, bool)
            or not (objective is None or (type(objective) is int and objective >= 0))
        ):
            raise ValueError(
                f"{threshold!r}, expected a name, a finite number, a flag and a number"
            )
        if objective is not None and objective >= len(directions):
            raise ValueError(f"{threshold!r}, and the study has {len(directions)} objectives")
    metrics = [threshold.metric for threshold in stated]
    if len(set(metrics)) < len(metrics):
        raise ValueError(f"{brief(stated)}, in which one metric is there twice")
    return tuple(stated)
