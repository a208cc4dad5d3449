"""Linear constraints, kept in the parameters that they are about: they go where those go."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.errors import SpaceError, nearest
from hpsearch.space.distributions import Distribution, Float, Int, Native
from hpsearch.space.space import Space
from hpsearch_sigopt.parameters import DIALECT, to_sigopt

_KEY = "linear_constraints"


def constrain(
    parameters: Mapping[str, Distribution], constraints: Sequence[Mapping[str, Any]]
) -> dict[str, Distribution]:
    """Return the parameters with each linear constraint in those that it is about.

    Such a parameter is in SigOpt's own words: no other engine keeps a linear constraint.

    Raises:
        SpaceError: A constraint does not have SigOpt's form, or its parameter cannot have one.
    """
    about: dict[str, list[dict[str, Any]]] = {}
    for given in constraints:
        constraint = _read(given)
        for term in constraint["terms"]:
            name = term["name"]
            if name not in parameters:
                raise SpaceError(
                    f"a linear constraint names {name!r}, which is not a parameter."
                    f"{nearest(str(name), parameters)}"
                )
            about.setdefault(name, []).append(constraint)
    constrained = dict(parameters)
    for name, own in about.items():
        constrained[name] = _with(own, name, parameters[name])
    return constrained


def constraints_of(space: Space) -> list[dict[str, Any]]:
    """Return the linear constraints in the parameters' own definitions, each once."""
    found: dict[str, dict[str, Any]] = {}
    for distribution in space.parameters.values():
        if isinstance(distribution, Native):
            found.update((_key(item), dict(item)) for item in distribution.definition.get(_KEY, ()))
    return [found[key] for key in sorted(found)]


def without_constraints(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter's definition as SigOpt has it, which keeps the constraints apart."""
    return {key: value for key, value in definition.items() if key != _KEY}


def _with(own: Sequence[dict[str, Any]], name: str, distribution: Distribution) -> Native:
    support = distribution.support if isinstance(distribution, Native) else distribution
    parameter = to_sigopt(name, distribution)
    plain = isinstance(support, Float | Int) and not support.log and support.step in (None, 1)
    if parameter is None or not plain:
        raise SpaceError(
            f"parameter {name!r} is {distribution}, and has a linear constraint; SigOpt has these "
            "for doubles and ints without transformation and grid"
        )
    kept = [*own]
    if isinstance(distribution, Native):
        kept += distribution.definition.get(_KEY, ())
    each = {_key(constraint): constraint for constraint in kept}
    definition = {**parameter.definition, _KEY: [each[key] for key in sorted(each)]}
    return Native(DIALECT, definition, support)


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        terms = [{"name": term["name"], "weight": term["weight"]} for term in given["terms"]]
        return {"type": given["type"], "threshold": given["threshold"], "terms": terms}
    except (KeyError, TypeError) as error:
        raise SpaceError(
            f"linear constraint {given!r} is not of the form {{'type': 'less_than', 'threshold': "
            "1, 'terms': [{'name': 'x', 'weight': 1}, {'name': 'y', 'weight': 1}]}"
        ) from error


def _key(constraint: Mapping[str, Any]) -> str:
    return json.dumps(constraint, sort_keys=True)
