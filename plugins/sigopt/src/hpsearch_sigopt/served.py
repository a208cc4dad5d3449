"""A server's experiment, which outlives the search: what it has of earlier trials, ours or others'.

With each suggestion and observation the server keeps a few facts that say whose trial it is. A
search that goes on later so tells nothing twice, and ends what a kill had left open.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.errors import SpaceError
from hpsearch.study.outcome import Outcome, TrialError, TrialState
from hpsearch.study.record import TrialRecord
from hpsearch_sigopt.experiment import Experiment, Observation
from hpsearch_sigopt.server import asking, complete, url_of

if TYPE_CHECKING:
    from hpsearch.study.study import Study
    from hpsearch_sigopt.metrics import Metrics
    from hpsearch_sigopt.space import SigOptSpace

ADDRESS = "sigopt"
"""The fact that is kept with a trial: the address of the experiment that it is in."""

logger = logging.getLogger("hpsearch")


class ServedExperiment(Experiment):
    """An :class:`Experiment` on a server.

    Attributes:
        runs: Whether its suggestions are runs.
    """

    runs = False

    def __init__(self, connection: Any, native: Any) -> None:
        super().__init__(connection, native)
        self.address = f"{where(connection, runs=self.runs)}{native.id}"
        # The suggestions that an earlier process left open, by whose trials they are.
        self._begun: dict[frozenset[Any], Any] = {}

    def suggest(self, facts: Mapping[str, Any]) -> Any:
        with asking(self._connection, "for a suggestion"):
            made = self._mine.suggestions().create(metadata=dict(facts))
            return complete(made, "id", "assignments")

    def observe(self, suggestion: Any, observation: Observation) -> None:
        if suggestion is None:
            suggestion = self._begun.pop(frozenset(observation.facts.items()), None)
        self._observe(suggestion, observation)

    def _observe(self, suggestion: Any, observation: Observation) -> None:
        with asking(self._connection, "to take an observation"):
            told = self._told(suggestion, observation)
            self._mine.observations().create(**told, metadata=dict(observation.facts))

    def withdraw(self, suggestion: Any) -> None:
        with asking(self._connection, "to withdraw a suggestion"):
            self._mine.suggestions(suggestion.id).delete()

    def observed(self) -> list[Observation]:
        with asking(self._connection, "for its observations"):
            for suggestion in self._mine.suggestions().fetch(state="open").iterate_pages():
                self._begun[frozenset((suggestion.metadata or {}).items())] = suggestion
            newest_first = list(self._mine.observations().fetch().iterate_pages())
            return [
                Observation(
                    observation.metadata or {},
                    observation.assignments,
                    None
                    if observation.failed
                    else {value.name: value.value for value in observation.values},
                    observation.created,
                )
                for observation in reversed(newest_first)
            ]

    def refresh(self) -> Any:
        with asking(self._connection, "for the experiment"):
            return super().refresh()


def where(connection: Any, *, runs: bool) -> str:
    """Return the address of a server's experiments, to which the identifier of one is added."""
    return f"{url_of(connection)}/v1/{'aiexperiments' if runs else 'experiments'}/"


def to_continue(study: Study, connection: Any, *, runs: bool) -> str | None:
    """Return the experiment on the server in which the last trials of a study were, if any."""
    place = where(connection, runs=runs)
    addresses = [trial.attrs[ADDRESS] for trial in study.trials if ADDRESS in trial.attrs]
    if not addresses or not str(addresses[-1]).startswith(place):
        return None
    return str(addresses[-1]).removeprefix(place)


def take_over(
    study: Study,
    space: SigOptSpace,
    metrics: Metrics,
    observed: Sequence[Observation],
    facts: Mapping[str, Any],
) -> set[int]:
    """Make an experiment's trials those of a study that has none, and leave others alone.

    Args:
        study: The search.
        space: Its space in SigOpt's terms.
        metrics: The experiment's metrics.
        observed: What the experiment has, by age.
        facts: What marks the study's own trials, the number apart.

    Returns:
        The numbers of the study's trials that the experiment has.

    Raises:
        SpaceError: One is not in the space.
    """
    if not study.trials:
        trials = [
            _as_trial(number, item, study, space, metrics) for number, item in enumerate(observed)
        ]
        if trials:
            study.history.adopt(trials)
        return {trial.number for trial in trials}
    ours = {int(item.facts["trial"]) for item in observed if facts.items() <= item.facts.items()}
    if len(ours) < len(observed):
        logger.warning(
            "SigOpt's experiment has %d observations that are not trials of study %r; SigOpt uses "
            "them, and they do not count",
            len(observed) - len(ours),
            study.name,
        )
    return ours


def _as_trial(
    number: int, observed: Observation, study: Study, space: SigOptSpace, metrics: Metrics
) -> TrialRecord:
    try:
        params = space.decode(observed.assignments)
        if study.space is not None:
            params = study.space.validate(params)
    except (KeyError, TypeError, SpaceError) as error:
        raise SpaceError(
            f"observation {number} of SigOpt's experiment is not in the space: {error}"
        ) from None
    trial = TrialRecord(number, params=params, study_seed=study.seed, started=observed.created)
    if observed.values is None:
        failed = TrialError("Failed", "SigOpt has it as failed")
        trial.end(Outcome(TrialState.FAILED, error=failed), observed.created, 0.0)
    else:
        objectives, others = metrics.split(observed.values)
        trial.end(Outcome(TrialState.COMPLETE, objectives), observed.created, 0.0)
        for name, value in others.items():
            trial.annotate(name, value)
    return trial
