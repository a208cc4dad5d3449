"""One SigOpt experiment: suggestions are asked of it, and observations told to it.

The same calls of SigOpt's client reach the optimiser in this process and a server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from hpsearch.errors import SpaceError, listed
from hpsearch_sigopt.connect import client
from hpsearch_sigopt.server import asking

if TYPE_CHECKING:
    from hpsearch_sigopt.options import SigOptOptions


class Experiment:
    """``connection.experiments(id)``: suggestions and observations.

    Args:
        connection: A ``sigopt.Connection``.
        native: The experiment object that it answered.
        on_server: Whether facts of ours may be kept with an observation.
    """

    def __init__(self, connection: Any, native: Any, *, on_server: bool = False) -> None:
        self.native = native
        self._connection = connection
        self._on_server = on_server

    def suggest(self, number: int) -> Any:
        """Return the suggestion for a trial; it has ``assignments``."""
        del number
        with self._asking("a suggestion"):
            return self._mine.suggestions().create()

    def observe(
        self,
        suggestion: Any,
        assignments: Mapping[str, Any],
        values: Mapping[str, float] | None,
        facts: Mapping[str, Any],
    ) -> None:
        """Tell how a trial ended.

        Args:
            suggestion: What it ran with, None for parameters of other origin.
            assignments: Its parameters in SigOpt's terms.
            values: Every metric's value, None for a failed trial.
            facts: What a server keeps with the observation.
        """
        told: dict[str, Any] = (
            {"assignments": dict(assignments)}
            if suggestion is None
            else {"suggestion": suggestion.id}
        )
        if values is None:
            told["failed"] = True
        else:
            told["values"] = [{"name": name, "value": value} for name, value in values.items()]
        if self._on_server:
            told["metadata"] = dict(facts)
        with self._asking("to take an observation"):
            self._mine.observations().create(**told)

    def withdraw(self, suggestion: Any) -> None:
        """Give back a suggestion that nobody evaluated."""
        if self._on_server:
            with self._asking("to withdraw a suggestion"):
                self._mine.suggestions(suggestion.id).delete()

    def known(self) -> Iterator[Mapping[str, Any]]:
        """Yield the facts kept with each observation that the experiment has already."""
        if self._on_server:
            with self._asking("its observations"):
                for observation in self._mine.observations().fetch().iterate_pages():
                    yield dict(observation.metadata or {})

    def refresh(self) -> Any:
        """Return the experiment object as it is now, with its progress."""
        with self._asking("the experiment"):
            self.native = self._mine.fetch()
        return self.native

    @property
    def _mine(self) -> Any:
        return self._connection.experiments(self.native.id)

    def _asking(self, what: str) -> AbstractContextManager[None]:
        return asking(self._connection, what) if self._on_server else nullcontext()


def create(connection: Any, options: SigOptOptions, body: dict[str, Any]) -> Any:
    """Create the experiment, or fetch the one to continue, and return its object.

    Raises:
        SpaceError: The optimiser refuses it, in words of its own, or the one to continue is
            another.
        HpsearchError: The server refuses it.
    """
    if not options.on_server:
        try:
            return connection.experiments().create(**body)
        except client().exception.SigOptException as error:
            raise SpaceError(f"SigOpt refuses the experiment: {error}") from error
    if options.experiment_id is not None:
        with asking(connection, f"experiment {options.experiment_id}"):
            native = connection.experiments(options.experiment_id).fetch()
        check_same(native, body)
        return native
    mine = connection if options.client_id is None else connection.clients(options.client_id)
    with asking(connection, "an experiment"):
        return mine.experiments().create(**body)


def check_same(native: Any, body: Mapping[str, Any]) -> None:
    """Raise :class:`SpaceError` unless an experiment has the search's parameters and metrics."""
    for what in ("parameters", "metrics"):
        there = sorted(item.name for item in getattr(native, what))
        here = sorted(item["name"] for item in body[what])
        if there != here:
            raise SpaceError(
                f"experiment {native.id} has {what} {listed(there)}, and the search {listed(here)}"
            )
