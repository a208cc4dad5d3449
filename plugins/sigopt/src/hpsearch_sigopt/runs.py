"""One SigOpt AI experiment, whose trials are runs: ``sigopt.create_experiment().loop()``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpsearch_sigopt.experiment import check_same
from hpsearch_sigopt.server import asking

if TYPE_CHECKING:
    from hpsearch_sigopt.options import SigOptOptions


class RunsExperiment:
    """An AI experiment, with the methods of :class:`~hpsearch_sigopt.experiment.Experiment`.

    It learns from its own runs alone: results of trials that it did not suggest are not taken.

    Args:
        connection: A ``sigopt.Connection``.
        native: The ``AIExperimentContext`` of SigOpt's client.
    """

    def __init__(self, connection: Any, native: Any) -> None:
        self.native = native
        self._connection = connection

    @classmethod
    def open(cls, connection: Any, options: SigOptOptions, body: dict[str, Any]) -> RunsExperiment:
        """Create the AI experiment in the project, or fetch the one to continue.

        Raises:
            SpaceError: The one to continue is another.
            HpsearchError: The server refuses it.
        """
        project = options.project or os.environ["SIGOPT_PROJECT"]
        factory = import_module("sigopt.factory").SigOptFactory(project, connection=connection)
        if options.experiment_id is not None:
            with asking(connection, f"experiment {options.experiment_id}"):
                native = factory.get_experiment(options.experiment_id)
            check_same(native, body)
            return cls(connection, native)
        asked = {name: value for name, value in body.items() if name != "project"}
        if "observation_budget" in asked:
            asked["budget"] = asked.pop("observation_budget")
        with asking(connection, "an experiment"):
            return cls(connection, factory.create_experiment(**asked))

    def suggest(self, number: int) -> Run:
        """Return a new run for a trial; it has ``assignments``."""
        del number
        with asking(self._connection, "a run"):
            return Run(self.native.create_run())

    def observe(
        self,
        suggestion: Run,
        assignments: Mapping[str, Any],
        values: Mapping[str, float] | None,
        facts: Mapping[str, Any],
    ) -> None:
        """End the run with its metrics, or as failed."""
        del assignments, facts
        with asking(self._connection, "to end a run"):
            if values is None:
                suggestion.context.log_failure()
            else:
                suggestion.context.log_metrics(values)
            suggestion.context.end()

    def withdraw(self, suggestion: Run) -> None:
        """End the run of a trial that was interrupted."""
        with asking(self._connection, "to end a run"):
            suggestion.context.end(exception=KeyboardInterrupt())

    def known(self) -> Iterator[Mapping[str, Any]]:
        """Yield nothing: no trial of another origin is told, so none can be told twice."""
        return iter(())

    def refresh(self) -> Any:
        """Return the AI experiment as it is now, with its progress."""
        with asking(self._connection, "the experiment"):
            self.native.refresh()
        return self.native


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
