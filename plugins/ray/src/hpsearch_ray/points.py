"""Points of a space as Ray's searchers, schedulers and trials know them: configs of plain values.

A searcher is given one domain for each parameter that has more than one value. Steps are the index
of the value, so that each is as likely as the next wherever the lower bound lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpsearch.space.distributions import Categorical, Distribution, Float, Int, Native
from hpsearch.space.space import Space
from hpsearch.validators import is_number
from hpsearch_ray.dialect import nest
from hpsearch_ray.domains import native_domain, write_distribution


def domain_of(name: str, distribution: Distribution) -> Any:
    """Return the domain in which Ray searches a parameter; :func:`value_of` reads its values."""
    if _is_index(distribution):
        from ray import tune

        return tune.randint(0, len(distribution.values() or ()))
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
        return list(distribution.values() or ()).index(value)
    return value


def nearest(distribution: Distribution, value: Any) -> Any:
    """Return the parameter's value that is nearest to a number; anything else as it is.

    Ray rounds in binary, and population-based training multiplies without regard to bounds.
    """
    if isinstance(distribution, Native):
        return nearest(distribution.support, value)
    if hasattr(value, "dtype") and hasattr(value, "item"):
        value = value.item()
    if not is_number(value) or value != value:  # noqa: PLR0124 - NaN is not near to anything
        return value
    match distribution:
        case Categorical(choices):
            numbers = [c for c in choices if isinstance(c, int | float) and type(c) is not bool]
            known = any(type(c) is type(value) and c == value for c in choices)
            return value if known or not numbers else min(numbers, key=lambda c: abs(c - value))
        case Float(low, high, step=step):
            inside = min(max(float(value), low), high)
            return inside if step is None else min(low + round((inside - low) / step) * step, high)
        case Int(low, high, step=step):
            return low + round((min(max(value, low), high) - low) / step) * step
    return value


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
    values = distribution.values()
    return values is not None and len(values) == 1


def _is_index(distribution: Distribution) -> bool:
    match distribution:
        case Float(step=step):
            return step is not None
        case Int(step=step):
            return step != 1
    return False
