"""Where the parameters of the next trial come from: Tune's own draws, or a search algorithm."""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ray.tune.search import Searcher
from ray.tune.utils import flatten_dict

from hpsearch.errors import listed
from hpsearch.plugins.backend import EXHAUSTED
from hpsearch.study.outcome import TrialState
from hpsearch.study.seeds import derive_seed
from hpsearch_ray.dialect import flatten
from hpsearch_ray.domains import is_domain, is_grid
from hpsearch_ray.metrics import trial_id
from hpsearch_ray.points import (
    domain_of,
    drawn_of,
    is_constant,
    nearest,
    searcher_name,
    value_of,
)

if TYPE_CHECKING:
    from hpsearch.plugins.backend import Exhausted
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


logger = logging.getLogger("hpsearch")


class Proposals(Protocol):
    """Chooses parameters, and learns how trials ended."""

    def next(self, study: Study, number: int) -> Mapping[str, Any] | Exhausted | None:
        """Return the parameters of the trial of that number, None if there are none for now."""

    def replay(self, trial: TrialRecord) -> None:
        """Take note of a trial that ended and was not proposed here."""


class Draws(Proposals):
    """What Tune does without a search algorithm: grids in order, everything else at random.

    Each value depends on the study's seed and the trial's number alone. The grid's points are
    taken in Tune's order, the least tried first; when nothing else is searched, it ends with them.

    Args:
        study: Its space, and the native one where the space was written for Ray, which is then
            drawn from as Ray does.
    """

    def __init__(self, study: Study) -> None:
        assert study.space is not None
        self._space = study.space
        native = {} if study.native_space is None else flatten(study.native_space)[0]
        self._grids = {
            name: self._space.parameters[name].values() or ()
            for name, value in native.items()
            if is_grid(value)
        }
        points = math.prod(map(len, self._grids.values()))
        if study.n_trials is not None and points > study.n_trials:
            logger.warning(
                "the grid of %s has %d points, and n_trials is %d: %d points are not tried",
                *(listed(self._grids), points, study.n_trials, points - study.n_trials),
            )
        self._own = {name: value for name, value in native.items() if is_domain(value)}
        self._random = [
            name
            for name, distribution in self._space.parameters.items()
            if name not in self._grids and not is_constant(distribution)
        ]

    def next(self, study: Study, number: int) -> Mapping[str, Any] | Exhausted | None:
        params = self._grid_point(study)
        if params is None:
            return EXHAUSTED
        rng = np.random.default_rng(derive_seed(study.seed, number))
        for name, distribution in self._space.parameters.items():
            if name in params:
                continue
            if name in self._own:
                params[name] = nearest(distribution, self._own[name].sample(random_state=rng))
            elif name in self._random:
                drawn = domain_of(name, distribution).sample(random_state=rng)
                params[name] = value_of(distribution, drawn)
            else:
                (params[name],) = distribution.values() or ()
        return self._space.restrict(params)

    def replay(self, trial: TrialRecord) -> None:
        """Remember nothing: the study has its trials."""

    def _grid_point(self, study: Study) -> dict[str, Any] | None:
        if not self._grids:
            return {}
        # Ray's first grid, by name, turns fastest.
        names = sorted(self._grids, reverse=True)
        tried = Counter(tuple(trial.params.get(name) for name in names) for trial in study.trials)
        lists = [self._grids[name] for name in names]
        least = next((p for p in itertools.product(*lists) if p not in tried), None)
        if least is None and self._random:
            least = min(itertools.product(*lists), key=tried.__getitem__)
        return None if least is None else dict(zip(names, least, strict=True))


class Suggestions(Proposals):
    """Asks one of Ray's search algorithms.

    Args:
        searcher: The algorithm, which has been told its space, metric and mode.
        study: The study.
        prefix: What the ids of the study's trials begin with in Ray.
    """

    def __init__(self, searcher: Searcher, study: Study, prefix: str) -> None:
        assert study.space is not None
        self.searcher = searcher
        self._space = study.space
        self._prefix = prefix
        self._mine: set[str] = set()

    def next(self, study: Study, number: int) -> Mapping[str, Any] | Exhausted | None:
        name = trial_id(self._prefix, number)
        suggestion: Any = self.searcher.suggest(name)
        if suggestion is None:
            return None
        if suggestion == Searcher.FINISHED:
            return EXHAUSTED
        self._mine.add(name)
        drawn = flatten_dict(suggestion)
        params = {}
        for parameter, distribution in self._space.parameters.items():
            if is_constant(distribution):
                (params[parameter],) = distribution.values() or ()
            else:
                params[parameter] = value_of(distribution, drawn[searcher_name(parameter)])
        return self._space.restrict(params)

    def replay(self, trial: TrialRecord) -> None:
        rng = np.random.default_rng(trial.seed)
        point = {}
        for name, distribution in self._space.parameters.items():
            if is_constant(distribution):
                continue
            if name in trial.params:
                point[searcher_name(name)] = drawn_of(distribution, trial.params[name])
            else:
                # An algorithm without conditions draws every parameter, searched or not.
                drawn = domain_of(name, distribution).sample(random_state=rng)
                point[searcher_name(name)] = drawn
        reports = [values[0] for _, values in sorted(trial.intermediate.items())]
        values = reports if trial.objective is None else [*reports, trial.objective]
        failed = trial.state is TrialState.FAILED
        if values or failed:  # A trial that was pruned before its first report teaches nothing.
            self.searcher.add_evaluated_point(
                point,
                values[-1] if values else math.nan,
                error=failed,
                pruned=trial.state is TrialState.PRUNED,
                intermediate_values=reports,
            )

    def proposed(self, name: str) -> bool:
        """Whether the trial of that id in Ray was suggested here."""
        return name in self._mine
