"""Tune's side of asking for trials: a search algorithm that starts the study's trials.

Trials that wait (enqueued, unfinished, retried) come first. Where Ray is the backend, the others
begin with its own proposals; where it only runs another backend's trials, the study is asked.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search import SearchAlgorithm
from ray.tune.search.variant_generator import format_vars

from hpsearch.plugins.backend import EXHAUSTED
from hpsearch_ray.metrics import OBJECTIVE
from hpsearch_ray.points import config_of
from hpsearch_ray.proposals import Suggestions

if TYPE_CHECKING:
    from ray.tune.experiment import Experiment

    from hpsearch.study.record import TrialRecord
    from hpsearch_ray.driver import Driver
    from hpsearch_ray.proposals import Proposals
    from hpsearch_ray.resources import Capacity


class Search(SearchAlgorithm):
    """Hands out the study's trials to Tune, as soon as one more fits.

    Args:
        driver: Keeps the trials that run.
        capacity: How many may run.
        proposals: Where parameters come from; None where that is another backend.
    """

    def __init__(self, driver: Driver, capacity: Capacity, proposals: Proposals | None) -> None:
        self._driver = driver
        self._control = driver.study.history
        self._capacity = capacity
        self._proposals = proposals
        self._suggestions = proposals if isinstance(proposals, Suggestions) else None
        self._parser = _make_parser()
        self._experiment: Experiment | None = None

    @property
    def searcher(self) -> Any:
        """The user's search algorithm, to which some of Ray's schedulers talk."""
        return None if self._suggestions is None else self._suggestions.searcher

    def add_configurations(self, experiments: Any) -> None:
        """Keep the experiment that the trials belong to."""
        (self._experiment,) = experiments

    def next_trial(self) -> TuneTrial | None:
        """Return the next trial, None if there is none for the moment."""
        if self.is_finished() or not self._capacity.for_another(self._driver.live):
            return None
        with self._driver.guarded():
            return self._ask()
        return None

    def is_finished(self) -> bool:
        """Whether no trial will start any more, as things are."""
        finished: bool = self._finished or not self._control.may_start()
        return finished

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass a report on to the user's search algorithm, if it suggested the trial."""
        if self._suggestions is not None and self._suggestions.proposed(trial_id):
            with self._driver.guarded():
                self._suggestions.searcher.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the user's search algorithm how a trial that it suggested ended."""
        if self._suggestions is None or not self._suggestions.proposed(trial_id):
            return
        if result is not None and math.isnan(result.get(OBJECTIVE, math.nan)):
            result, error = None, True  # It was stopped before it had a value.
        with self._driver.guarded():
            self._suggestions.searcher.on_trial_complete(trial_id, result=result, error=error)

    def _next(self) -> TrialRecord | None:
        """Start the next trial of the study, None if there is none for the moment."""
        if self._proposals is None or self._control.has_waiting:
            return self._control.ask()
        params = self._proposals.next(self._driver.study, self._control.next_number)
        if params is EXHAUSTED:
            self._control.request_stop("Ray has nothing left to try")
        elif params is not None:
            return self._control.begin(params)
        return None

    def _ask(self) -> TuneTrial | None:
        trial = self._next()
        if trial is None:
            return None
        assert self._experiment is not None
        space, params = self._driver.space, trial.params
        values = format_vars({(name,): value for name, value in params.items()})
        config = dict(params) if space is None else config_of(space, params)
        tune_trial: TuneTrial = _create_trial_from_spec(
            {**self._experiment.spec, "config": config},
            self._parser,
            evaluated_params=dict(params),
            experiment_tag=f"{trial.number}_{values}",
            trial_id=self._driver.name_of(trial),
        )
        self._driver.started(trial, tune_trial)
        return tune_trial
