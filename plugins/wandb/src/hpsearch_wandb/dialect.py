"""W&B's way of writing a space: a sweep config, of which ``parameters`` is the space."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from hpsearch.errors import SpaceError
from hpsearch.space.dialects import Dialect
from hpsearch.space.distributions import Distribution
from hpsearch.space.space import Space
from hpsearch.validators import known_keys
from hpsearch_wandb.options import METHODS
from hpsearch_wandb.parameters import DIALECT, listing, read, write

SECTIONS: Final = (
    "parameters",
    "method",
    "metric",
    "early_terminate",
    "run_cap",
    "name",
    "description",
    "project",
    "entity",
    "program",
    "command",
    "controller",
    "apiVersion",
    "kind",
    "job",
    "image_uri",
)
"""What a sweep config has; ``metrics`` and ``scheduler`` are a custom scheduler's and not read."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_Reader = Callable[[object], Distribution]


class WandbDialect(Dialect):
    """Reads and writes sweep configs, nested parameters as groups of the space."""

    name = DIALECT

    def recognises(self, native: object) -> bool:
        """Whether the object is a mapping with ``parameters``, or at least one of W&B's methods."""
        if not isinstance(native, Mapping):
            return False
        method = native.get("method")
        known = isinstance(method, str) and method in (*METHODS, "custom")
        return isinstance(native.get("parameters"), Mapping) or known

    def read(self, native: Mapping[str, Any]) -> Space:
        """Return the portable space of the same meaning.

        Raises:
            SpaceError: Naming the section or parameter that is none of W&B's, or has no meaning
                here.
        """
        known_keys("a sweep config, as it is read here,", native, SECTIONS, error=SpaceError)
        parameters = native.get("parameters")
        if not isinstance(parameters, Mapping) or not parameters:
            raise SpaceError(f"the sweep config's 'parameters' is {parameters!r}, expected some")
        reader = listing if native.get("method") == "grid" else read
        read_parameters: dict[str, Distribution] = {}
        groups: list[str] = []
        for name, distribution in _flattened(parameters, "", groups, reader):
            if name in read_parameters:
                raise SpaceError(f"parameter {name!r} is given twice, once nested")
            read_parameters[name] = distribution
        return Space(read_parameters, groups=groups)

    def extra_settings(self, native: Mapping[str, Any]) -> tuple[str, ...]:
        """Name what the config says beside its parameters and its metric's name and goal."""
        metric = native.get("metric")
        more = metric.keys() - {"name", "goal"} if isinstance(metric, Mapping) else ()
        sections = tuple(section for section in native if section not in ("parameters", "metric"))
        return (*sections, *(f"metric.{key}" for key in sorted(more)))

    def goals(self, native: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the goal of the sweep's metric, if it states one."""
        metric = native.get("metric")
        goal = metric.get("goal") if isinstance(metric, Mapping) else None
        return None if goal is None else (str(goal),)

    def metrics(self, native: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Return the name of the sweep's metric, if it has one."""
        metric = native.get("metric")
        name = metric.get("name") if isinstance(metric, Mapping) else None
        return None if name is None else (str(name),)

    def write(self, space: Space) -> dict[str, Any]:
        """Return a sweep config with the method random.

        Raises:
            SpaceError: The space has conditions, or a parameter that W&B cannot be told exactly.
        """
        for name in space.conditions:
            raise SpaceError(f"W&B has no conditions, and parameter {name!r} has one")
        config = {"method": "random", "parameters": nested(space, write)}
        if self.read(config) != space:
            raise SpaceError(f"W&B nests its parameters otherwise than the groups {space.groups}")
        return config


def nested(space: Space, words: Callable[[Distribution], dict[str, Any]]) -> dict[str, Any]:
    """Return the ``parameters`` of a sweep config, nested as the space's groups are.

    Args:
        space: The space; its conditions are left out.
        words: How each parameter is written.

    Raises:
        SpaceError: Naming the parameter that cannot be written.
    """
    parameters: dict[str, Any] = {}
    for name, distribution in space.parameters.items():
        group, _, member = name.rpartition(".")
        path = [*group.split("."), member] if group in space.groups else [name]
        try:
            _place(parameters, path, words(distribution))
        except SpaceError as error:
            raise SpaceError(f"parameter {name!r}: {error}") from None
    return parameters


def _flattened(
    parameters: Mapping[str, Any], prefix: str, groups: list[str], reader: _Reader
) -> Iterator[tuple[str, Distribution]]:
    """Yield every parameter under its flat name, and note each group."""
    for name, definition in parameters.items():
        flat = f"{prefix}{name}"
        nested = isinstance(definition, Mapping) and "parameters" in definition
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SpaceError(
                f"parameter {flat!r}: W&B takes names of letters, digits, '_', '-' and '.', "
                "beginning with a letter or '_'"
            )
        if "." in name and (prefix or nested):
            raise SpaceError(f"parameter {flat!r}: the name of nested parameters has no '.'")
        if not nested:
            yield flat, _named(flat, definition, reader)
            continue
        inner = definition["parameters"]
        if len(definition) > 1 or not isinstance(inner, Mapping) or not inner:
            raise SpaceError(
                f"parameter {flat!r}: a nested one has 'parameters' with at least one, and no more"
            )
        groups.append(flat)
        yield from _flattened(inner, f"{flat}.", groups, reader)


def _named(name: str, definition: object, reader: _Reader) -> Distribution:
    try:
        return reader(definition)
    except SpaceError as error:
        raise SpaceError(f"parameter {name!r}: {error}") from None


def _place(parameters: dict[str, Any], path: list[str], definition: dict[str, Any]) -> None:
    """Put a definition under its nested name."""
    *groups, last = path
    for group in groups:
        inner = parameters.setdefault(group, {"parameters": {}})
        if "parameters" not in inner:
            raise SpaceError(f"{group!r} is called like a group of parameters")
        parameters = inner["parameters"]
    parameters[last] = definition
