"""One SigOpt experiment: suggestions are asked of it, and observations told to it.

The same calls of SigOpt's client reach the optimiser in this process and a server; what only one
of them has is in ``lite.py``, ``served.py`` and ``runs.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.errors import OptionError, SpaceError
from hpsearch_sigopt.connect import client
from hpsearch_sigopt.server import asking, complete

if TYPE_CHECKING:
    from hpsearch_sigopt.options import SigOptOptions


_ESSENTIAL = (
    "type",
    "bounds",
    "categorical_values",
    "grid",
    "transformation",
    "prior",
    "values",
    "objective",
    "strategy",
    "threshold",
)
"""What two parameters, or two metrics, of one name must have in common to be the same."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A trial that ended, as an experiment has it.

    Attributes:
        facts: Whose trial it is; empty where somebody else told it.
        assignments: Its parameters in SigOpt's terms.
        values: Every metric's value, None for a failed trial.
        created: When the experiment got it, in seconds since the epoch; 0 before.
    """

    facts: Mapping[str, Any]
    assignments: Mapping[str, Any]
    values: Mapping[str, float] | None
    created: float = 0.0


class Experiment:
    """``connection.experiments(id)``: suggestions and observations.

    Attributes:
        native: The experiment object of SigOpt's client.
        address: Where it is found again; None where it ends with the search.

    Args:
        connection: A ``sigopt.Connection``.
        native: The experiment object that it answered.
    """

    address: str | None = None

    def __init__(self, connection: Any, native: Any) -> None:
        self.native = native
        self._connection = connection

    def suggest(self, facts: Mapping[str, Any]) -> Any:
        """Return the suggestion for a trial; it has ``assignments``.

        Args:
            facts: Whose trial it is; its number is among them.
        """
        del facts
        return self._mine.suggestions().create()

    def observe(self, suggestion: Any, observation: Observation) -> None:
        """Tell how a trial ended.

        Args:
            suggestion: What it ran with, None for parameters of other origin.
            observation: The trial.
        """
        self._mine.observations().create(**self._told(suggestion, observation))

    def withdraw(self, suggestion: Any) -> None:
        """Give back a suggestion that nobody evaluated."""

    def observed(self) -> Sequence[Observation]:
        """Return what the experiment had already when it was opened, by age."""
        return ()

    def refresh(self) -> Any:
        """Return the experiment object as it is now, with its progress."""
        self.native = self._mine.fetch()
        return self.native

    @property
    def _mine(self) -> Any:
        return self._connection.experiments(self.native.id)

    @staticmethod
    def _told(suggestion: Any, observation: Observation) -> dict[str, Any]:
        told: dict[str, Any] = (
            {"assignments": dict(observation.assignments)}
            if suggestion is None
            else {"suggestion": suggestion.id}
        )
        if observation.values is None:
            return {**told, "failed": True}
        values = [{"name": name, "value": value} for name, value in observation.values.items()]
        return {**told, "values": values}


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
        with asking(connection, f"for experiment {options.experiment_id}"):
            fetched = connection.experiments(options.experiment_id).fetch()
            native = complete(fetched, "id", "parameters", "metrics")
        check_same(native, body, runs=False)
        return native
    mine = connection if options.client_id is None else connection.clients(options.client_id)
    with asking(connection, "for an experiment"):
        return complete(mine.experiments().create(**body), "id")


def check_same(native: Any, body: Mapping[str, Any], *, runs: bool) -> None:
    """Make sure that an experiment can go on as this search.

    Raises:
        OptionError: It has runs and the search makes none, or the reverse.
        SpaceError: Its parameters, conditionals or metrics are others.
    """
    if native.to_json().get("runs_only", runs) is not runs:
        raise OptionError(
            f"experiment {native.id} on the server has "
            f"{'observations, not runs' if runs else 'runs'}; give runs={not runs}"
        )
    for what in ("parameters", "conditionals", "metrics"):
        there = {item.name: _essence(item.to_json()) for item in getattr(native, what) or ()}
        here = {item["name"]: _essence(item) for item in body.get(what, ())}
        for name in {**here, **there}:
            if here.get(name) != there.get(name):
                raise SpaceError(
                    f"experiment {native.id} on the server is another: among its {what}, {name!r} "
                    f"is {there.get(name, 'not there')}, and in this search "
                    f"{here.get(name, 'not there')}"
                )


def _essence(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry of a parameter list, or a metric, says, however it is written."""
    kept = {key: item[key] for key in _ESSENTIAL if item.get(key) not in (None, [], "none")}
    for key in ("bounds", "prior"):
        if key in kept:
            kept[key] = {name: kept[key][name] for name in sorted(kept[key]) if name != "object"}
    if "categorical_values" in kept:
        values = kept["categorical_values"]
        kept["categorical_values"] = [v if isinstance(v, str) else v["name"] for v in values]
    return kept
