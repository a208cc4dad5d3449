"""Points of a space as Ray's searchers, schedulers and trials know them: configs of plain values.

A searcher is given one domain for each parameter that has more than one value. Steps are the index
of the value, so that each is as likely as the next wherever the lower bound lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hpsearch.errors import OptionError, SpaceError
from hpsearch.errors import nearest as closest
from hpsearch.space.distributions import Categorical, Distribution, Float, Int, Native, plain
from hpsearch.space.space import Space
from hpsearch.space.steps import multiple
from hpsearch_ray.dialect import nest
from hpsearch_ray.domains import native_domain, write_distribution


def domain_of(name: str, distribution: Distribution) -> Any:
    """Return the domain in which Ray searches a parameter; :func:`value_of` reads its values."""
    if _is_index(distribution):
        from ray import tune

        return tune.randint(0, distribution.size() or 0)
    if isinstance(distribution, Native):
        return native_domain(distribution)
    return write_distribution(name, distribution)


def value_of(distribution: Distribution, drawn: Any) -> Any:
    """Return what a value of :func:`domain_of` stands for."""
    if _is_index(distribution):
        return (distribution.values() or ())[int(drawn)]
    return nearest(distribution, drawn)


def drawn_of(distribution: Distribution, value: Any) -> Any:
    """Return the value of :func:`domain_of` that stands for a parameter's value."""
    if _is_index(distribution):
        return (distribution.values() or ()).index(value)
    return value


def searcher_point(space: Space, given: Any) -> dict[str, Any]:
    """Return a point in the user's terms as one of :func:`domain_of`'s, for a search algorithm.

    Args:
        space: The space.
        given: Values by name. Those in a group are nested, or have their path as the name:
            ``"model/width"`` as Ray has it, or ``"model.width"``.

    Raises:
        OptionError: A name is not in the space, or a value is not one of the parameter's.
    """
    if not isinstance(given, Mapping):
        raise OptionError(f"{given!r} is not a dict of values by name; {_ENQUEUE}")
    paths = {
        name.replace(".", "/"): name
        for name in space.parameters
        if name.rpartition(".")[0] in space.groups
    }
    named = {}
    for key, value in _leaves(given):
        name = key if key in space.parameters else paths.get(key)
        if name is None:
            raise OptionError(
                f"{key!r} is not in the space.{closest(key, space.parameters)} {_ENQUEUE}"
            )
        named[name] = value
    point = {}
    for name, value in named.items():
        distribution = space.parameters[name]
        try:
            valid = distribution.validate(value)
        except SpaceError as error:
            raise OptionError(f"parameter {name!r}: {error}; {_ENQUEUE}") from None
        if not is_constant(distribution):
            point[searcher_name(name)] = drawn_of(distribution, valid)
    return point


def searcher_name(name: str) -> str:
    """Return a parameter's name for a search algorithm, which takes ``/`` for a nested dict."""
    return name.replace("/", "\N{DIVISION SLASH}")


def _leaves(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


_ENQUEUE = "enqueue= says what the first trials are with any search algorithm"


def nearest(distribution: Distribution, value: Any) -> Any:
    """Return the parameter's value that is nearest to a number; anything else as it is.

    Ray rounds in binary, and population-based training multiplies without regard to bounds.
    """
    value = plain(value)
    if type(value) not in (int, float) or math.isnan(value):
        return value
    if isinstance(distribution, Native):
        q = distribution.definition.get("q")
        if isinstance(q, float) and math.isfinite(value):
            value = multiple(round(value / q), q)
        return nearest(distribution.support, value)
    if not isinstance(distribution, Categorical):
        return distribution.nearest(value)
    try:
        return distribution.validate(value)
    except SpaceError:
        choices = distribution.choices
        numbers = [c for c in choices if isinstance(c, int | float) and type(c) is not bool]
        return min(numbers, key=lambda c: abs(c - value), default=value)


def config_of(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's parameters as its config in Ray: nested where the space has groups."""
    return nest(space, params)


def params_of(space: Space, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the point of the space that is nearest to a trial's config.

    Worker and driver both read a config so; for a config that no scheduler has changed, it is
    exactly the point it was made of.
    """
    found = {}
    for name, distribution in space.parameters.items():
        group, _, member = name.rpartition(".")
        place: Any = config
        if group in space.groups:
            for part in group.split("."):
                place = place.get(part, {})
        else:
            member = name
        if member in place:
            found[name] = nearest(distribution, place[member])
    return space.restrict(found)


def is_constant(distribution: Distribution) -> bool:
    """Whether a parameter has one value alone, of which Ray need not know."""
    return distribution.size() == 1


def _is_index(distribution: Distribution) -> bool:
    match distribution:
        case Float(step=step):
            return step is not None
        case Int(step=step):
            return step != 1
    return False
