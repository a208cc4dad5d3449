"""One SigOpt AI experiment, whose trials are runs: ``sigopt.create_experiment().loop()``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpsearch_sigopt.experiment import Observation, check_same
from hpsearch_sigopt.served import ServedExperiment
from hpsearch_sigopt.server import asking, complete

if TYPE_CHECKING:
    from hpsearch_sigopt.options import SigOptOptions

_FAILED = "failed"
_COMPLETED = "completed"


class RunsExperiment(ServedExperiment):
    """An AI experiment on a server: its suggestions are runs, which it observes when they end.

    Args:
        connection: A ``sigopt.Connection``.
        native: The ``AIExperimentContext`` of SigOpt's client.
    """

    runs = True

    def suggest(self, facts: Mapping[str, Any]) -> Run:
        with asking(self._connection, "for a run"):
            made = self.native.create_run(name=_name(facts), metadata=dict(facts))
            complete(made.run, "id", "assignments")
            return Run(made)

    def _observe(self, suggestion: Run | None, observation: Observation) -> None:
        with asking(self._connection, "to end a run"):
            if suggestion is None:
                self._add(observation)
                return
            if observation.values is None:
                suggestion.context.log_failure()
            else:
                suggestion.context.log_metrics(observation.values)
            suggestion.context.end()

    def withdraw(self, suggestion: Run) -> None:
        with asking(self._connection, "to end a run"):
            suggestion.context.end(exception=KeyboardInterrupt())

    def observed(self) -> list[Observation]:
        """Return the runs that ended; the others are ended by the trials that began them."""
        with asking(self._connection, "for its runs"):
            by_age = sorted(self.native.get_runs(), key=lambda run: int(run.id))
            context = import_module("sigopt.run_context").RunContext
            for run in by_age:
                if run.state not in (_FAILED, _COMPLETED):
                    facts = frozenset((run.metadata or {}).items())
                    self._begun[facts] = Run(context(self._connection, run))
            return [_as_observation(run) for run in by_age if run.state in (_FAILED, _COMPLETED)]

    def refresh(self) -> Any:
        with asking(self._connection, "for the experiment"):
            self.native.refresh()
        return self.native

    def _add(self, ended: Observation) -> None:
        """Create a run that has ended, with parameters that SigOpt did not choose."""
        self._connection.aiexperiments(self.native.id).training_runs().create(
            name=_name(ended.facts),
            metadata=dict(ended.facts),
            assignments=dict(ended.assignments),
            values={name: {"value": value} for name, value in (ended.values or {}).items()},
            state=_FAILED if ended.values is None else _COMPLETED,
        )


class Run:
    """A run and its assignments.

    Attributes:
        context: The ``RunContext`` of SigOpt's client: ``log_metric``, ``log_metadata``, ….
        assignments: The parameters that SigOpt chose.
    """

    def __init__(self, context: Any) -> None:
        self.context = context
        self.assignments: Mapping[str, Any] = dict(context.run.assignments)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.context, name)


def create(connection: Any, options: SigOptOptions, body: dict[str, Any]) -> Any:
    """Create the AI experiment in the project, or fetch the one to continue.

    Raises:
        SpaceError: The one to continue is another.
        HpsearchError: The server refuses it.
    """
    factory = import_module("sigopt.factory").SigOptFactory(options.home, connection=connection)
    if options.experiment_id is not None:
        with asking(connection, f"for experiment {options.experiment_id}"):
            native = complete(factory.get_experiment(options.experiment_id), "id", "parameters")
        check_same(native, body, runs=True)
        return native
    asked = {name: value for name, value in body.items() if name != "project"}
    if "observation_budget" in asked:
        asked["budget"] = asked.pop("observation_budget")
    with asking(connection, "for an experiment"):
        return complete(factory.create_experiment(**asked), "id")


def _name(facts: Mapping[str, Any]) -> str:
    return f"{facts['study']} {facts['trial']}"


def _as_observation(run: Any) -> Observation:
    values = {name: evaluation.value for name, evaluation in run.values.items()}
    failed = run.state == _FAILED
    return Observation(run.metadata or {}, run.assignments, None if failed else values, run.created)
