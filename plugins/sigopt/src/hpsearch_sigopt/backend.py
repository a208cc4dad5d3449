"""The backend: each trial is a suggestion of one SigOpt experiment, observed when it ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.errors import (
    CapabilityError,
    HpsearchError,
    ObjectiveError,
    OptionError,
    SpaceError,
    listed,
)
from hpsearch.plugins.backend import USUAL, Backend, Capabilities
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.space.space import Space
from hpsearch.space.thresholds import Threshold
from hpsearch.study.outcome import INTERRUPTED, TrialState
from hpsearch.study.record import TrialRecord
from hpsearch_sigopt import runs
from hpsearch_sigopt.body import experiment_body, said
from hpsearch_sigopt.connect import connect
from hpsearch_sigopt.constraints import constrain
from hpsearch_sigopt.engine import ENGINE
from hpsearch_sigopt.experiment import Experiment, Observation, create
from hpsearch_sigopt.lite import LiteExperiment
from hpsearch_sigopt.metrics import Metrics, optimised_names
from hpsearch_sigopt.options import SigOptOptions
from hpsearch_sigopt.parameters import DIALECT
from hpsearch_sigopt.runs import RunsExperiment
from hpsearch_sigopt.served import ADDRESS, ServedExperiment, take_over, to_continue
from hpsearch_sigopt.space import SigOptSpace

if TYPE_CHECKING:
    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")


class SigOptBackend(Backend):
    """SigOpt's optimiser, in this process or on a server, through SigOpt's own client."""

    api_version = 1
    capabilities = replace(USUAL, max_parallel=1, dialect=DIALECT)
    Options = SigOptOptions
    engine = ENGINE

    _experiment: Experiment

    @classmethod
    def capabilities_for(cls, options: SigOptOptions) -> Capabilities:
        """Return what SigOpt can do where these options have it run.

        A server has any number of suggestions open and its own seed.
        """
        if not options.on_server:
            return cls.capabilities
        return replace(
            cls.capabilities,
            max_parallel=options.parallel_bandwidth,
            seeding=False,
        )

    @classmethod
    def thresholds_for(
        cls, options: SigOptOptions, directions: Sequence[str]
    ) -> list[Threshold] | None:
        """Return the thresholds of ``metrics=``."""
        return None if options.metrics is None else Metrics(options.metrics, directions).thresholds

    @classmethod
    def metrics_for(cls, options: SigOptOptions) -> tuple[str, ...] | None:
        """Return the metrics that the options say to optimise."""
        return optimised_names(options.metrics)

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        options: SigOptOptions = self.options
        if len(study.directions) > 2:
            raise CapabilityError(
                f"SigOpt optimises one metric or two, and {len(study.directions)} directions are "
                "given; backends 'optuna', 'random' and 'grid' take more"
            )
        parameters = study.space.parameters if study.space is not None else {}
        conditions = study.space.conditions if study.space is not None else {}
        constrained = constrain(parameters, options.linear_constraints or ())
        self._space = SigOptSpace(Space(constrained, conditions))
        self._metrics = Metrics(said(study, options, "metrics"), study.directions)
        self._budget = said(study, options, "observation_budget", "budget")
        self._observed = 0
        self._live = False
        self._said = False
        body = experiment_body(study, options, self._space, self._metrics)
        self._experiment = _open(study, options, body)
        study.native = self._experiment.native
        observed, mine = self._experiment.observed(), _facts(study)
        self._known = take_over(study, self._space, self._metrics, observed, mine)

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any]:
        trial.native = self._experiment.suggest({**_facts(study), "trial": trial.number})
        return self._space.decode(trial.native.assignments)

    @hookimpl
    def hpsearch_start(self, study: Study, trial: TrialRecord) -> None:
        self._live = True  # What is told before is of an earlier search.
        if self._experiment.address is not None:
            study.history.annotate(trial, ADDRESS, self._experiment.address)

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        if trial.error is not None and trial.error.type == INTERRUPTED:
            if trial.native is not None:
                self._experiment.withdraw(trial.native)
            return
        if self._live or trial.number not in self._known:
            self._check_said(trial)
            values = self._metrics.values(trial)
            assignments = self._space.encode(trial.params)
            facts = {**_facts(study), "trial": trial.number}
            self._experiment.observe(trial.native, Observation(facts, assignments, values))
        self._observed += 1
        if self._budget is not None and self._observed >= self._budget:
            study.history.request_stop(f"SigOpt's budget of {self._budget} observations is spent")

    @hookimpl
    def hpsearch_close(self, study: Study, error: BaseException | None) -> None:
        if study.native is not None and error is None:
            self._refreshed(study)

    def _refreshed(self, study: Study) -> Any:
        """Return the experiment as it is now; a search needs no answer to end well."""
        try:
            study.native = self._experiment.refresh()
        except HpsearchError as problem:
            logger.warning("SigOpt's experiment shows no progress: %s", problem)
        return study.native

    def _check_said(self, trial: TrialRecord) -> None:
        """Log which metrics a trial says nothing of; raise if no trial ever said them."""
        if trial.state is not TrialState.COMPLETE:
            return
        missing = self._metrics.missing(trial)
        if not missing:
            self._said = True
            return
        problem = (
            f"trial {trial.number} says nothing of {listed(missing)}, which metrics= has; write "
            f"trial.annotate({missing[0]!r}, value) with a finite number in the objective"
        )
        if self._live and not self._said:
            raise ObjectiveError(problem)
        logger.error("%s. SigOpt takes the trial as failed", problem)


def _facts(study: Study) -> dict[str, Any]:
    """Return what marks a study's trials on a server, the number apart."""
    return {"study": study.name, "seed": str(study.seed)}


def _open(study: Study, options: SigOptOptions, body: dict[str, Any]) -> Experiment:
    connection = connect(options)
    if not options.on_server:
        native = create(connection, options, body)
        return LiteExperiment(connection, native, options, body, study.seed)
    earlier = to_continue(study, connection, runs=options.runs)
    if earlier is not None and options.experiment_id is None:
        try:
            return _serve(connection, replace(options, experiment_id=earlier), body)
        except (OptionError, SpaceError) as error:
            logger.warning("the search goes on in a new experiment: %s", error)
    return _serve(connection, options, body)


def _serve(connection: Any, options: SigOptOptions, body: dict[str, Any]) -> Experiment:
    if options.runs:
        return RunsExperiment(connection, runs.create(connection, options, body))
    return ServedExperiment(connection, create(connection, options, body))
