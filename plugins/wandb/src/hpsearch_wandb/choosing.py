"""How an offline sweep chooses: random and grid here, bayes by W&B's engine."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.builtin.grid import Untried, points
from hpsearch.errors import SpaceError
from hpsearch.plugins.backend import Exhausted
from hpsearch.space.distributions import Native
from hpsearch.space.space import Space
from hpsearch_wandb.parameters import draw

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_wandb.sweep import Sweep


class Chooser(ABC):
    """Chooses the parameters of each trial, and may learn from all that start and end."""

    @abstractmethod
    def suggest(self, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        """Return a point of the space, or ``EXHAUSTED``."""

    def start(self, trial: TrialRecord) -> None:  # noqa: B027 - not all have to remember
        """Take note of a trial that runs, whoever chose it."""

    def tell(self, trial: TrialRecord) -> None:  # noqa: B027
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


class _Random(Chooser):
    """Independent draws. Each depends on the study's seed and the trial's number alone."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def suggest(self, trial: TrialRecord) -> Mapping[str, Any]:
        rng = random.Random(trial.seed)
        params: dict[str, Any] = {}
        for name, distribution in self._space.active(params):
            params[name] = draw(distribution, rng)
        return params


class _Grid(Chooser):
    """Every point once, in W&B's order: parameters by name, the last changing fastest."""

    def __init__(self, space: Space) -> None:
        for name, distribution in space.parameters.items():
            if isinstance(distribution, Native):
                raise SpaceError(
                    f"parameter {name!r} is {distribution}, which a W&B grid cannot list; give it "
                    "values, int_uniform, or q_uniform in a sweep config with the method grid"
                )
        by_name = sorted(space.parameters.items(), key=lambda item: item[0].split("."))
        self._untried = Untried(points(Space(dict(by_name), space.conditions, space.groups)))

    def suggest(self, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        return self._untried.next()

    def start(self, trial: TrialRecord) -> None:
        self._untried.remove(trial.params)

    def tell(self, trial: TrialRecord) -> None:
        self._untried.remove(trial.params)
