"""A :class:`Space`: named parameters and the conditions between them, the same on every backend."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hpsearch.errors import SpaceError, brief, listed, nearest
from hpsearch.space import distributions
from hpsearch.space.distributions import (
    Categorical,
    Choice,
    Distribution,
    Float,
    Int,
    Native,
    plain,
)
from hpsearch.validators import json_data


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """When a parameter is searched at all: in any of some cases, each a set of parents' values.

    Two are equal if they have the same cases, in any order. Types count: 1, 1.0 and True differ.

    Attributes:
        cases: Any one must hold; a case holds when each of its parents has one of its values.
    """

    cases: tuple[tuple[tuple[str, tuple[Choice, ...]], ...], ...]
    _tests: tuple[frozenset[tuple[str, frozenset[tuple[type, Choice]]]], ...] = field(
        init=False, repr=False
    )

    def __post_init__(self) -> None:
        if not (isinstance(self.cases, tuple) and self.cases):
            raise SpaceError(
                f"a condition has the cases {brief(self.cases)}, expected at least one; write "
                "when(optimizer='sgd')"
            )
        tests = (
            frozenset((parent, frozenset((type(v), v) for v in values)) for parent, values in case)
            for case in self.cases
        )
        object.__setattr__(self, "_tests", tuple(tests))

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether the parameter is searched, given these values. A missing parent has none."""
        for case in self._tests:
            for parent, values in case:
                if parent not in params:
                    break
                value = params[parent]
                # Not type(value): what reads a function stands in for a value, and for its class.
                if (value.__class__, value) not in values:
                    break
            else:
                return True
        return False

    def canonical(self, parameters: Mapping[str, Distribution]) -> Condition:
        """Return the condition on the values that its parents will have: 0.3 for 0.1 + 0.2.

        Args:
            parameters: The parents, which need finitely many values.

        Raises:
            SpaceError: A parent is not there, has infinitely many values or not the one given.
        """
        return Condition(
            tuple(
                tuple((parent, _canonical(parent, values, parameters)) for parent, values in case)
                for case in self.cases
            )
        )

    @property
    def parents(self) -> frozenset[str]:
        """The names of all parameters that this condition looks at."""
        return frozenset(parent for case in self.cases for parent, _ in case)

    def __or__(self, other: Condition) -> Condition:
        if not isinstance(other, Condition):
            return NotImplemented
        known = set(self._tests)
        new = (
            case for case, test in zip(other.cases, other._tests, strict=True) if test not in known
        )
        return Condition((*self.cases, *new))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Condition):
            return NotImplemented
        return frozenset(self._tests) == frozenset(other._tests)

    def __hash__(self) -> int:
        return hash(frozenset(self._tests))

    def to_list(self) -> list[dict[str, list[Choice]]]:
        """Return the JSON form."""
        return [{parent: list(values) for parent, values in case} for case in self.cases]


def when(**parents: Any) -> Condition:
    """The condition that each named parameter has the given value, or one of the given several.

    ``when(optimizer="sgd") | when(optimizer="adam", amsgrad=True)`` joins two cases. Several values
    are a list, tuple, range, array or set: their order has no meaning.

    Raises:
        SpaceError: No parameter is named, or a value is none that a parameter can have.
    """
    if not parents:
        raise SpaceError("when() names no parameter; write when(optimizer='sgd')")
    case = tuple((parent, _values(parent, given)) for parent, given in sorted(parents.items()))
    return Condition((case,))


def _values(parent: str, given: Any) -> tuple[Choice, ...]:
    given = plain(given)
    if isinstance(given, set | frozenset):  # whose own order differs from run to run
        given = sorted(given, key=repr)
    elif hasattr(given, "tolist"):
        given = list(given)
    several = isinstance(given, list | tuple | range)
    values = tuple(map(plain, given)) if several else (given,)
    if not values:
        raise SpaceError(f"when({parent}=...) names no value, so it would never hold")
    for value in values:
        if not isinstance(value, bool | int | float | str | None):
            raise SpaceError(
                f"when({parent}=...) has the value {value!r} ({type(value).__name__}), expected "
                "None, bool, int, float or str, or a list of them"
            )
    return values


def _canonical(
    parent: str, values: tuple[Choice, ...], parameters: Mapping[str, Distribution]
) -> tuple[Choice, ...]:
    if parent not in parameters:
        raise SpaceError(
            f"it depends on {parent!r}, which is not a parameter.{nearest(parent, parameters)}"
        )
    distribution = parameters[parent]
    if distribution.values() is None:
        raise SpaceError(
            f"it depends on {parent!r}, which is {distribution}; a parent needs finitely many "
            "values"
        )
    try:
        return tuple(dict.fromkeys(map(distribution.validate, values)))
    except SpaceError as error:
        raise SpaceError(f"it depends on {parent!r}: {error}") from None


class Space:
    """Named parameters with the conditions between them. Immutable; equal when they mean the same.

    Args:
        parameters: Name to :class:`Float`, :class:`Int` or :class:`Categorical`.
        conditions: Name to the :class:`Condition` under which that parameter is searched; a
            parameter without one is always searched. Parents need finitely many values.
        groups: Names under which parameters are nested: with ``"model"`` among them the objective
            finds ``"model.width"`` as ``trial["model"]["width"]`` too. One within another,
            ``"model.head"``, brings the outer one along.

    Raises:
        SpaceError: Naming the parameter: bad bounds, an unknown or infinite parent, a value that
            the parent cannot have, a cycle, a group without members or called like a parameter.
    """

    __slots__ = ("_conditions", "_groups", "_order", "_parameters")

    def __init__(
        self,
        parameters: Mapping[str, Distribution],
        conditions: Mapping[str, Condition] | None = None,
        groups: Iterable[str] = (),
    ) -> None:
        for what, given in (("parameters", parameters), ("conditions", conditions or {})):
            if not isinstance(given, Mapping):
                raise SpaceError(f"{what} is {brief(given)}, expected a mapping by name")
        if isinstance(groups, str) or not all(isinstance(group, str) for group in groups):
            raise SpaceError(f"groups is {brief(groups)}, expected a list of names")
        self._parameters = MappingProxyType(dict(parameters))
        self._groups = tuple(sorted({outer for group in groups for outer in _outer(group)}))
        for name, distribution in self._parameters.items():
            check_parameter(name, distribution)
        self._conditions = MappingProxyType(
            {name: self._checked(name, given) for name, given in (conditions or {}).items()}
        )
        for group in self._groups:
            self._check_group(group)
        self._order = self._parents_first()

    @property
    def parameters(self) -> Mapping[str, Distribution]:
        """Every parameter that may be searched, in the order given."""
        return self._parameters

    @property
    def conditions(self) -> Mapping[str, Condition]:
        """The conditional parameters' conditions."""
        return self._conditions

    @property
    def groups(self) -> tuple[str, ...]:
        """The names under which parameters are nested, in alphabetical order."""
        return self._groups

    def active(self, params: Mapping[str, Any]) -> Iterator[tuple[str, Distribution]]:
        """Yield the parameters searched; ``params`` may be filled meanwhile.

        They come in the order given, but each after its parents.
        """
        if not self._conditions:
            return iter(self._parameters.items())
        return self._active_beside(params)

    def _active_beside(self, params: Mapping[str, Any]) -> Iterator[tuple[str, Distribution]]:
        for name in self._order:
            condition = self._conditions.get(name)
            if condition is None or condition.holds(params):
                yield name, self._parameters[name]

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """Draw every active parameter independently."""
        params: dict[str, Any] = {}
        for name, distribution in self.active(params):
            params[name] = distribution.sample(rng)
        return params

    def restrict(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the active parameters alone.

        For an engine without conditions, which draws every parameter: what is left of independent
        draws is distributed as :meth:`sample` draws it.

        Raises:
            KeyError: An active parameter has no value.
        """
        params: dict[str, Any] = {}
        for name, distribution in self.active(params):
            params[name] = distributions.canonical_value(values[name], distribution)
        return params

    def check_exact(self, engine: str) -> None:
        """Check that an engine which computes in floats has every value of each parameter.

        Raises:
            SpaceError: It does not; the message names the parameter.
        """
        for name, distribution in self._parameters.items():
            try:
                distributions.check_exact(distribution, engine)
            except SpaceError as error:
                raise SpaceError(f"parameter {name!r}: {error}") from None

    def check_natives(self, dialect: str) -> None:
        """Check that a dialect can express every parameter in an engine's own words.

        Raises:
            SpaceError: One is in another engine's; the message names it.
        """
        for name, distribution in self._parameters.items():
            if isinstance(distribution, Native) and distribution.dialect != dialect:
                raise SpaceError(
                    f"parameter {name!r} is {distribution}, which {dialect} cannot express"
                )

    def nested(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the groups of a point of this space: ``{"model": {"width": 64}}``."""
        tree: dict[str, Any] = {}
        for group in self._groups:
            _branch(tree, group)
        for name, value in params.items():
            group, _, member = name.rpartition(".")
            if group in self._groups:
                _branch(tree, group)[member] = value
        return tree

    def flat(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point of this space without nested groups: the reverse of :meth:`nested`.

        ``{"model": {"width": 64}}`` becomes ``{"model.width": 64}`` where ``"model"`` is a group.
        What objectives get has both forms, which then have to agree.

        Raises:
            SpaceError: They do not agree.
        """
        found: dict[str, Any] = {}
        waiting = list(params.items())
        while waiting:
            name, value = waiting.pop(0)
            if name in self._groups and isinstance(value, Mapping):
                waiting += [(f"{name}.{member}", item) for member, item in value.items()]
            elif name in found and self._differ(name, found[name], value):
                raise SpaceError(
                    f"parameter {name!r} is given twice, as {found[name]!r} and as {value!r}"
                )
            else:
                found[name] = value
        return found

    def _differ(self, name: str, one: Any, other: Any) -> bool:
        known = self._parameters.get(name)
        if known is None:
            return bool(one != other)
        ours, theirs = (distributions.canonical_value(value, known) for value in (one, other))
        return type(ours) is not type(theirs) or bool(ours != theirs)

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the one plain form of the values if they are exactly one point of this space.

        Raises:
            SpaceError: A name is missing, unknown or not searched with the others, or a value
                has the wrong type or lies outside.
        """
        valid: dict[str, Any] = {}
        for name, distribution in self.active(valid):
            try:
                valid[name] = distribution.validate(params[name])
            except KeyError:
                self._check_names(params)
                raise SpaceError(
                    f"parameter {name!r} is missing; given are {listed(params)}"
                ) from None
            except SpaceError as error:
                self._check_names(params)
                raise SpaceError(f"parameter {name!r}: {error}") from None
        if len(valid) != len(params):
            self._check_names(params)
            name = next(name for name in params if name not in valid)
            raise SpaceError(f"parameter {name!r} is not searched with {valid!r}")
        return valid

    def _check_names(self, params: Iterable[str]) -> None:
        """Raise :class:`SpaceError` if a name is unknown: the first thing to know of a point."""
        for name in params:
            if name not in self._parameters:
                raise SpaceError(
                    f"parameter {name!r} is not in the space.{nearest(name, self._parameters)} "
                    f"The space has {listed(self._parameters)}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; :meth:`from_dict` reads it back."""
        data: dict[str, Any] = {
            "parameters": {name: item.to_dict() for name, item in self._parameters.items()}
        }
        if self._conditions:
            data["conditions"] = {name: item.to_list() for name, item in self._conditions.items()}
        if self._groups:
            data["groups"] = list(self._groups)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Space:
        """Read the JSON form back.

        Raises:
            SpaceError: The data is not a space.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("parameters"), Mapping):
            raise SpaceError(f"{data!r} is not the JSON form of a space: 'parameters' is missing")
        parameters = {name: distributions.from_dict(d) for name, d in data["parameters"].items()}
        conditions: dict[str, Condition] = {}
        for name, cases in data.get("conditions", {}).items():
            read = [when(**case) for case in cases]
            conditions[name] = Condition(tuple(case for item in read for case in item.cases))
        return cls(parameters, conditions, data.get("groups", ()))

    def to_json(self) -> str:
        """Return the space as JSON text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Space:
        """Read JSON text back.

        Raises:
            SpaceError: The text is not a space.
        """
        try:
            return cls.from_dict(json_data(text))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            if isinstance(error, SpaceError):
                raise
            raise SpaceError(f"{brief(text)} is not the JSON form of a space: {error}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return Space, (dict(self._parameters), dict(self._conditions), self._groups)

    def __len__(self) -> int:
        return len(self._parameters)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        parameters, conditions, groups = self._key()
        return hash((frozenset(parameters.items()), frozenset(conditions.items()), groups))

    def _key(self) -> tuple[dict[str, Distribution], dict[str, Condition], tuple[str, ...]]:
        return dict(self._parameters), dict(self._conditions), self._groups

    def __repr__(self) -> str:
        conditions = f", conditions={dict(self._conditions)!r}" if self._conditions else ""
        groups = f", groups={self._groups!r}" if self._groups else ""
        return f"Space({dict(self._parameters)!r}{conditions}{groups})"

    def _checked(self, name: str, condition: Condition) -> Condition:
        """Return a condition with the values that the parents will have."""
        if name not in self._parameters:
            raise SpaceError(
                f"a condition is given for {name!r}, which is not a parameter."
                f"{nearest(name, self._parameters)}"
            )
        if not isinstance(condition, Condition):
            raise SpaceError(f"parameter {name!r}: {condition!r} is not a condition; use when(...)")
        try:
            return condition.canonical(self._parameters)
        except SpaceError as error:
            raise SpaceError(f"parameter {name!r}: {error}") from None

    def _check_group(self, group: str) -> None:
        if group in self._parameters:
            raise SpaceError(f"parameter {group!r} is called like a group of parameters")
        if not any(name.startswith(f"{group}.") for name in self._parameters):
            raise SpaceError(f"group {group!r} has no parameter {group + '.name'!r}")

    def _parents_first(self) -> tuple[str, ...]:
        if not self._conditions:
            return tuple(self._parameters)
        order: dict[str, None] = {}
        waiting = dict.fromkeys(self._parameters)
        while waiting:
            for name in waiting:
                if name not in self._conditions or self._conditions[name].parents <= order.keys():
                    break
            else:
                raise SpaceError(f"the conditions of {listed(waiting)} form a cycle")
            order[name] = None
            del waiting[name]
        return tuple(order)


def _outer(group: str) -> list[str]:
    """Return a group's name after those of the groups that it is in."""
    parts = group.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _branch(tree: dict[str, Any], group: str) -> dict[str, Any]:
    """Return the mapping of a group, made if there is none."""
    for part in group.split("."):
        tree = tree.setdefault(part, {})
    return tree


def check_parameter(name: object, distribution: object) -> None:
    """Raise :class:`SpaceError`, naming the parameter, unless a search could use it."""
    if not isinstance(name, str) or not name:
        raise SpaceError(f"parameter name {name!r} is not a non-empty string")
    if not isinstance(distribution, Float | Int | Categorical | Native):
        raise SpaceError(
            f"parameter {name!r} is {distribution!r}, expected Float, Int or Categorical"
        )
    try:
        distribution.check()
    except SpaceError as error:
        raise SpaceError(f"parameter {name!r}: {error}") from None
