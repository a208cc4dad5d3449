"""The objectives of the kit. They can be pickled, since a backend may run them elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch.errors import TrialPruned
from hpsearch.study.trial import Trial


def score(params: Mapping[str, Any]) -> float:
    """Return a number that depends on every parameter: the sum of their distances from 0.3."""
    return sum(abs(_number(value) - 0.3) for value in params.values())


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float(len(str(value)))


@dataclass(frozen=True)
class Distance:
    """The score of the trial's parameters, which is best near 0.3.

    Attributes:
        sign: -1 turns it into one to maximize.
        directions: How many values to return; each further one falls where the score rises.
    """

    sign: float = 1.0
    directions: int = 1

    def __call__(self, trial: Trial) -> float | tuple[float, ...]:
        value = self.sign * score(trial.params)
        return value if self.directions == 1 else (value, *[-value] * (self.directions - 1))


def fails_often(trial: Trial) -> float:
    """Raise in every third trial."""
    if trial.number % 3 == 1:
        raise RuntimeError("this trial fails on purpose")
    return score(trial.params)


def fails_once(trial: Trial) -> float:
    """Raise in trial 1, and in no other."""
    if trial.number == 1:
        raise RuntimeError("this trial fails on purpose")
    return score(trial.params)


def suggests(trial: Trial) -> float:
    """Ask for two parameters while running, for one of them twice."""
    x = trial.suggest_float("x", 0.0, 1.0)
    return x + trial.suggest_int("n", 1, 4) + trial.suggest_float("x", 0.0, 1.0)


def suggests_in_branches(trial: Trial) -> float:
    """Ask for one more parameter where another is above 2."""
    value = suggests(trial)
    return value + trial.suggest_float("depth", 0.5, 2.0) if trial["n"] > 2 else value


def reports(trial: Trial) -> float:
    """Report three steps: the score, its half and its third."""
    for step in range(3):
        trial.report(score(trial.params) / (step + 1), step)
    return score(trial.params)


@dataclass(frozen=True)
class Hopeless:
    """Report many steps and obey: good trials get better and better, the others are far worse.

    Attributes:
        good: How many trials are good, those with the lowest numbers; below 100.
        steps: How many steps a trial reports.
    """

    good: int
    steps: int = 30

    def __call__(self, trial: Trial) -> float:
        value = 1.0 - trial.number / 100 if trial.number < self.good else 1e6
        for step in range(self.steps):
            trial.report(value, step)
            if trial.should_prune():
                raise TrialPruned
        return value


@dataclass(frozen=True)
class StopsTheStudy:
    """Ask for the end of the search in one trial.

    Attributes:
        number: Which.
    """

    number: int

    def __call__(self, trial: Trial) -> float:
        if trial.number == self.number:
            trial.stop_study()
        return score(trial.params)
