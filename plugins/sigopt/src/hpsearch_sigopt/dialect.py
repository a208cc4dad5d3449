"""SigOpt's way of writing a space: a list of parameters, or a whole experiment that has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.errors import OptionError, SpaceError, nearest
from hpsearch.space.dialects import Dialect
from hpsearch.space.distributions import Categorical, Distribution
from hpsearch.space.space import Condition, Space, when
from hpsearch.space.thresholds import Threshold
from hpsearch.validators import items, known_keys
from hpsearch_sigopt.constraints import constrain
from hpsearch_sigopt.metrics import Metrics, optimised_names, read_metrics
from hpsearch_sigopt.parameters import DIALECT
from hpsearch_sigopt.reading import read_parameter
from hpsearch_sigopt.space import SigOptSpace, conditions_of

SPACE_KEYS = ("parameters", "conditionals", "linear_constraints")
"""What of an experiment is its space."""

GOAL_KEY = "metrics"
"""What says what to optimise and which bounds to keep; every backend does both."""

SETTING_KEYS = (
    "name",
    "project",
    "type",
    "observation_budget",
    "budget",
    "parallel_bandwidth",
    "num_solutions",
    "metadata",
)
"""What else an experiment may say, which only SigOpt uses."""


class SigOptDialect(Dialect):
    """Reads and writes what ``connection.experiments().create(parameters=...)`` takes.

    A list of parameters, or a mapping with such a list under ``"parameters"`` and what else the
    experiment has: conditionals, linear constraints, metrics, a budget.
    """

    name = DIALECT

    def recognises(self, native: object) -> bool:
        """Whether the object is a list of mappings with names, or a mapping that has one."""
        if isinstance(native, Mapping):
            native = native.get("parameters")
        return (
            isinstance(native, list | tuple)
            and bool(native)
            and all(isinstance(entry, Mapping) and "name" in entry for entry in native)
        )

    def read(self, native: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Space:
        """Return the portable space of the same meaning.

        A prior, an uneven grid and a linear constraint keep SigOpt's own words, which no other
        engine searches.

        Raises:
            SpaceError: Naming the parameter and what is wrong with it.
        """
        body = native if isinstance(native, Mapping) else {"parameters": native}
        keys = [key for key in body if key != "tasks" or body[key]]
        known = (*SPACE_KEYS, GOAL_KEY, *SETTING_KEYS)
        known_keys("a SigOpt experiment, as it is read here,", keys, known, error=SpaceError)
        parameters: dict[str, Distribution] = {}
        conditions: dict[str, Condition] = {}
        for entry in body["parameters"]:
            _add(parameters, entry["name"], read_parameter(entry))
            parents = dict(conditions_of(entry))
            if parents:
                conditions[entry["name"]] = when(**parents)
        for conditional in body.get("conditionals") or ():
            _add(parameters, *_conditional(conditional))
        for name, condition in conditions.items():
            for parent in condition.parents - parameters.keys():
                raise SpaceError(
                    f"parameter {name!r} has a condition on {parent!r}, which is not there."
                    f"{nearest(parent, parameters)} Give the whole experiment: {{'parameters': "
                    "[...], 'conditionals': [{'name': ..., 'values': [...]}]}"
                )
        constraints = body.get("linear_constraints") or ()
        return Space(constrain(parameters, constraints), conditions)

    def extra_settings(
        self, native: Sequence[Mapping[str, Any]] | Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Name what an experiment says in addition to its space."""
        if not isinstance(native, Mapping):
            return ()
        return tuple(key for key in SETTING_KEYS if native.get(key) is not None)

    def goals(
        self, native: Sequence[Mapping[str, Any]] | Mapping[str, Any]
    ) -> tuple[str, ...] | None:
        """Return the objectives of an experiment's optimised metrics, if each states one."""
        metrics = native.get(GOAL_KEY) if isinstance(native, Mapping) else None
        stated = [
            metric.get("objective")
            for metric in items(GOAL_KEY, metrics or (), error=OptionError)
            if isinstance(metric, Mapping) and metric.get("strategy", "optimize") == "optimize"
        ]
        return tuple(map(str, stated)) if stated and None not in stated else None

    def metrics(
        self, native: Sequence[Mapping[str, Any]] | Mapping[str, Any]
    ) -> tuple[str, ...] | None:
        """Return the names of an experiment's optimised metrics, if it has any."""
        return optimised_names(native.get(GOAL_KEY) if isinstance(native, Mapping) else None)

    def thresholds(
        self, native: Sequence[Mapping[str, Any]] | Mapping[str, Any], directions: Sequence[str]
    ) -> list[Threshold]:
        """Return the thresholds of an experiment's metrics.

        Raises:
            OptionError: A metric does not have SigOpt's form, or those with thresholds do not fit
                the directions.
        """
        metrics = native.get(GOAL_KEY) if isinstance(native, Mapping) else None
        if metrics is None or not any("threshold" in item for item in read_metrics(metrics)):
            return []
        return Metrics(metrics, directions).thresholds

    def write(self, space: Space) -> list[dict[str, Any]] | dict[str, Any]:
        """Return the parameter list, or an experiment where the space needs more than that.

        Raises:
            SpaceError: Naming a parameter that SigOpt has nothing for that says exactly the same.
        """
        if space.groups:
            raise SpaceError(
                f"SigOpt's parameters have no groups, and the space has {space.groups}"
            )
        written = SigOptSpace(space)
        body: dict[str, Any] = {"parameters": written.parameters}
        for key in ("conditionals", "linear_constraints"):
            if getattr(written, key):
                body[key] = getattr(written, key)
        # What cannot be said exactly is searched in a roundabout way, and reads back as that.
        again = self.read(body)
        for name, distribution in space.parameters.items():
            if again.parameters.get(name) != distribution:
                raise SpaceError(f"parameter {name!r}: SigOpt has no way to say {distribution}")
            if again.conditions.get(name) != space.conditions.get(name):
                raise SpaceError(f"parameter {name!r}: SigOpt has no such condition")
        return body if len(body) > 1 else written.parameters


def _add(parameters: dict[str, Distribution], name: Any, distribution: Distribution) -> None:
    if name in parameters:
        raise SpaceError(f"parameter {name!r} is there twice")
    parameters[name] = distribution


def _conditional(conditional: Mapping[str, Any]) -> tuple[Any, Categorical]:
    if not isinstance(conditional, Mapping) or not conditional.keys() >= {"name", "values"}:
        raise SpaceError(f"conditional {conditional!r} has no name or no values")
    name, values = conditional["name"], conditional["values"]
    if not isinstance(values, list | tuple):
        raise SpaceError(f"conditional {name!r}: values is {values!r}, expected a list of texts")
    texts = [value["name"] if isinstance(value, Mapping) else value for value in values]
    for text in texts:
        if not isinstance(text, str):
            raise SpaceError(f"conditional {name!r}: value {text!r} is not a text, as SigOpt's are")
    return name, Categorical(texts)
