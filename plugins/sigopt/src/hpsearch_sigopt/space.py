"""A whole space there and back: SigOpt's parameters, conditionals and linear constraints."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from hpsearch.errors import SpaceError, listed
from hpsearch.space.distributions import Categorical
from hpsearch.space.space import Condition, Space
from hpsearch_sigopt.constraints import constraints_of, without_constraints
from hpsearch_sigopt.parameters import Parameter, to_sigopt

_MOST_BRANCHES = 1000
"""How many combinations of parents' values are looked through for one without parameters."""


class SigOptSpace:
    """A portable space as SigOpt's experiment has it.

    SigOpt conditions a parameter on values of *conditionals*, which have no conditions of their
    own. Where all conditions of a space are such, they are SigOpt's; else SigOpt draws every
    parameter always, and those that are not active are dropped from each suggestion.

    Args:
        space: What is searched.

    Attributes:
        parameters: SigOpt's parameter list.
        conditionals: Its list of conditionals, empty where there are none.
        linear_constraints: The linear constraints that the space's own parameters name.

    Raises:
        SpaceError: A parameter is beyond what SigOpt can express, or none is left to search.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._constants: dict[str, Any] = {}
        self._known: dict[str, Parameter] = {}
        for name, distribution in space.parameters.items():
            parameter = to_sigopt(name, distribution)
            if parameter is None:
                self._constants[name] = (distribution.values() or ())[0]
            else:
                self._known[name] = parameter
        parents = _conditionals(space)
        self.conditioned = bool(parents)
        self.conditionals = [
            {"name": name, "values": self._known[name].definition["categorical_values"]}
            for name in parents
        ]
        self.parameters = [
            {"name": name, **without_constraints(parameter.definition), **self._conditions(name)}
            for name, parameter in self._known.items()
            if name not in parents
        ]
        self.linear_constraints = constraints_of(space)
        if not self.parameters:
            raise SpaceError(
                "SigOpt needs a parameter with more than one value in addition to the "
                f"conditionals, and the space has {listed(space.parameters)}"
            )

    def decode(self, assignments: Mapping[str, Any]) -> dict[str, Any]:
        """Return SigOpt's assignments as a point of the space."""
        values = dict(self._constants)
        for name, parameter in self._known.items():
            if assignments.get(name) is not None:  # A server has None where it is not active.
                values[name] = parameter.decode(assignments[name])
        return self._space.restrict(values)

    def encode(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point of the space as SigOpt's assignments."""
        assignments: dict[str, Any] = {}
        for name, parameter in self._known.items():
            if name in params:
                assignments[name] = parameter.encode(params[name])
            elif not self.conditioned:
                assignments[name] = _stand_in(parameter.definition)
        return assignments

    def _conditions(self, name: str) -> dict[str, Any]:
        if not self.conditioned or name not in self._space.conditions:
            return {}
        (case,) = self._space.conditions[name].cases
        encode = {parent: self._known[parent].encode for parent, _ in case}
        return {
            "conditions": {
                parent: [encode[parent](value) for value in values] for parent, values in case
            }
        }


def _conditionals(space: Space) -> set[str]:
    """Return the parents if SigOpt can have them all as conditionals, else none."""
    parents: set[str] = set()
    for condition in space.conditions.values():
        parents |= condition.parents
    plain = all(
        isinstance(space.parameters[parent], Categorical)
        and space.parameters[parent].size() != 1
        and parent not in space.conditions
        for parent in parents
    )
    single = all(len(condition.cases) == 1 for condition in space.conditions.values())
    if not parents or not plain or not single:
        return set()
    others = [name for name in space.parameters if name not in parents]
    conditions = [space.conditions.get(name) for name in others]
    return parents if _every_branch_has_one(space, parents, conditions) else set()


def _every_branch_has_one(
    space: Space, parents: set[str], conditions: list[Condition | None]
) -> bool:
    """Whether each combination of the parents' values has a parameter, as SigOpt demands."""
    if None in conditions:
        return True
    values = [space.parameters[parent].values() or () for parent in parents]
    if math.prod(map(len, values)) > _MOST_BRANCHES:
        return False
    branches = (dict(zip(parents, branch, strict=True)) for branch in itertools.product(*values))
    return all(any(c is not None and c.holds(branch) for c in conditions) for branch in branches)


def _stand_in(definition: Mapping[str, Any]) -> Any:
    """Return the value that SigOpt's optimiser itself takes for a parameter that is not there."""
    if "bounds" in definition:
        return definition["bounds"]["max"]
    if "grid" in definition:
        return definition["grid"][-1]
    return max(definition["categorical_values"])


def conditions_of(entry: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the parents of an entry of a parameter list, each with the values that it needs."""
    for parent, values in (entry.get("conditions") or {}).items():
        yield parent, [values] if isinstance(values, str) else list(values)
