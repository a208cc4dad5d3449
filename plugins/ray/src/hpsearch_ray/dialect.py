"""Ray Tune's way of writing a space: a dict of domains, grids and constants, nested if need be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hpsearch.errors import SpaceError
from hpsearch.space.dialects import Dialect
from hpsearch.space.space import Space
from hpsearch_ray.domains import GRID, is_domain, is_grid, read_value, write_distribution


class RayDialect(Dialect):
    """Reads and writes what ``tune.Tuner(param_space=...)`` takes."""

    name = "ray"

    def recognises(self, native: object) -> bool:
        """Whether the object is a mapping with one of Ray's domains, or a grid, in it."""
        return isinstance(native, Mapping) and any(
            is_domain(value) or is_grid(value) for value in _leaves(native)
        )

    def read(self, native: Mapping[str, Any]) -> Space:
        """Return the portable space of the same meaning.

        Raises:
            SpaceError: Naming the parameter and the feature that cannot be carried over.
        """
        named, groups = flatten(native)
        return Space({name: read_value(name, value) for name, value in named.items()}, {}, groups)

    def extra_settings(self, native: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the grids: other backends take their values for choices."""
        return (GRID,) if any(is_grid(value) for value in _leaves(native)) else ()

    def write(self, space: Space) -> dict[str, Any]:
        """Return Ray's domains by name, nested where the space has groups.

        Raises:
            SpaceError: The space has conditions, another engine's parameters, or steps that Ray
                does not count.
        """
        for name in space.conditions:
            raise SpaceError(f"parameter {name!r} has a condition, which Ray Tune cannot express")
        space.check_natives(self.name)
        return nest(space, {n: write_distribution(n, d) for n, d in space.parameters.items()})


def flatten(native: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a nested mapping's leaves by dotted name, and the names of its groups.

    Raises:
        SpaceError: A name is not a text, or two different places would have one dotted name.
    """
    named: dict[str, Any] = {}
    groups: list[str] = []
    for key, value in native.items():
        if not isinstance(key, str):
            raise SpaceError(f"parameter name {key!r} is not a non-empty string")
        if not isinstance(value, Mapping) or is_grid(value):
            named[key] = value
            continue
        if not value or "." in key or any("." in str(member) for member in value):
            raise SpaceError(
                f"group {key!r} is {dict(value)!r}; a group has parameters, and neither its name "
                "nor theirs have a dot"
            )
        inner, inner_groups = flatten(value)
        named.update({f"{key}.{member}": leaf for member, leaf in inner.items()})
        groups += [key, *(f"{key}.{group}" for group in inner_groups)]
    for key in native:
        if key.rpartition(".")[0] in groups:
            raise SpaceError(f"parameter {key!r} is called like one in a group; rename it")
    return named, groups


def nest(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by parameter as Ray has them: those in a group inside a dict."""
    groups = space.groups
    flat = {n: value for n, value in values.items() if n.rpartition(".")[0] not in groups}
    return {**flat, **space.nested(values)}


def _leaves(native: Mapping[Any, Any]) -> Iterator[Any]:
    for value in native.values():
        if isinstance(value, Mapping) and not is_grid(value):
            yield from _leaves(value)
        else:
            yield value
