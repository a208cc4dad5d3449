"""How an offline sweep chooses: random and grid here, bayes by W&B's engine."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.builtin.grid import points
from hpsearch.errors import SpaceError
from hpsearch.plugins.backend import EXHAUSTED, Exhausted
from hpsearch.space.distributions import Native
from hpsearch.space.space import Space
from hpsearch_wandb.parameters import draw

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_wandb.sweep import Sweep


class Chooser(Protocol):
    """Chooses the parameters of each trial, and hears of all that start and end."""

    def suggest(self, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        """Return a point of the space, or ``EXHAUSTED``."""

    def start(self, trial: TrialRecord) -> None:
        """Take note of a trial that runs, whoever chose it."""

    def tell(self, trial: TrialRecord) -> None:
        """Take note of how a trial ended."""


class Stopper(Protocol):
    """Decides which trials are to be stopped."""

    def stops(self, trial: TrialRecord) -> bool:
        """Whether the trial is to be stopped, as of its last report."""

    def tell(self, trial: TrialRecord) -> None:
        """Take note of how a trial ended."""


def make_chooser(study: Study, sweep: Sweep) -> Chooser:
    """Return what chooses for a sweep's method.

    Raises:
        SpaceError: The method cannot search a parameter of the space.
        BackendError: The method is bayes, and W&B's engine is not installed.
    """
    assert study.space is not None  # The core refuses a define-by-run search beforehand.
    if sweep.method == "random":
        return _Random(study.space)
    if sweep.method == "grid":
        return _Grid(study.space)
    from hpsearch_wandb.engine import Bayes

    return Bayes(study, sweep)


class _Random:
    """Independent draws. Each depends on the study's seed and the trial's number alone."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def suggest(self, trial: TrialRecord) -> Mapping[str, Any]:
        rng = random.Random(trial.seed)
        params: dict[str, Any] = {}
        for name, distribution in self._space.active(params):
            params[name] = draw(distribution, rng)
        return params

    def start(self, trial: TrialRecord) -> None:
        """Remember nothing: draws are independent."""

    def tell(self, trial: TrialRecord) -> None:
        """Remember nothing: draws are independent."""


class _Grid:
    """Every point once, in W&B's order: parameters by name, the last changing fastest."""

    def __init__(self, space: Space) -> None:
        for name, distribution in space.parameters.items():
            if isinstance(distribution, Native):
                raise SpaceError(
                    f"parameter {name!r} is {distribution}, which a W&B grid cannot list; give it "
                    "values, int_uniform, or q_uniform in a sweep config with the method grid"
                )
        by_name = sorted(space.parameters.items(), key=lambda item: item[0].split("."))
        self._points = points(Space(dict(by_name), space.conditions, space.groups))
        self._tried: set[tuple[tuple[str, str], ...]] = set()

    def suggest(self, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        for point in self._points:
            # A point that was resumed or enqueued has been tried without being suggested.
            if _key(point) not in self._tried:
                return point
        return EXHAUSTED

    def start(self, trial: TrialRecord) -> None:
        self._tried.add(_key(trial.params))

    def tell(self, trial: TrialRecord) -> None:
        self._tried.add(_key(trial.params))


def _key(point: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in point.items()))
