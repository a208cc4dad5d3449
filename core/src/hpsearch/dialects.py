"""Reading a search space however it is written.

A *dialect* is an engine's native way of writing a space. Each plugin reads and writes its own and
names it in the entry-point group ``hpsearch.dialects``; reading one needs that plugin installed and
imports none of its engine. The portable form and define-by-run functions are the core's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from hpsearch.distributions import Categorical, Float, Int
from hpsearch.errors import SpaceError, listed, nearest
from hpsearch.space import Space

ENTRY_POINT_GROUP: Final = "hpsearch.dialects"


class Dialect(Protocol):
    """An engine's native way of writing a space."""

    name: str

    def recognises(self, native: object) -> bool:
        """Whether the object is a space written in this dialect, judged by its shape alone."""

    def read(self, native: Any) -> Space:
        """Return the portable space of the same meaning.

        Raises:
            SpaceError: Naming the parameter and the feature that cannot be carried over.
        """

    def write(self, space: Space) -> Any:
        """Return the space in this dialect.

        Raises:
            SpaceError: Naming the parameter and the feature that cannot be carried over.
        """


@dataclass(frozen=True, slots=True)
class SpaceSource:
    """What a search was given as its space, after reading.

    Attributes:
        space: The portable space; None for a define-by-run search.
        function: The define-by-run function to call in each trial, None if there is none.
        names: The parameters known before the first trial, None if none can be.
    """

    space: Space | None
    function: Callable[[Any], Any] | None = None
    names: tuple[str, ...] | None = None

    @classmethod
    def portable(cls, space: Space, function: Callable[[Any], Any] | None = None) -> SpaceSource:
        """A source whose parameters are all known."""
        return cls(space, function, tuple(space.parameters))


def read_source(given: Any, *, define_by_run: bool) -> SpaceSource:
    """Read whatever ``search(objective, space)`` was given.

    Args:
        given: A portable space or mapping, a define-by-run function, an object in a native
            dialect, a function that returns one of these, or None: the objective suggests itself.
        define_by_run: Whether the backend can suggest while a trial runs. If not, a define-by-run
            function is explored beforehand.

    Raises:
        SpaceError: Nobody recognises the object, or its meaning cannot be carried over.
    """
    if given is None:
        return SpaceSource(None)
    if not callable(given):
        return SpaceSource.portable(read(given))
    from hpsearch import explore

    probe = explore.probe(given)
    if probe.suggested:
        if define_by_run:
            return SpaceSource(None, given, probe.names)
        return SpaceSource.portable(explore.explore(given), given)
    if not probe.returned:
        return SpaceSource(None)
    return SpaceSource.portable(read(probe.returned))


def read(given: Any) -> Space:
    """Return the portable space of an object in any installed dialect.

    Raises:
        SpaceError: Nobody recognises the object, or its meaning cannot be carried over.
    """
    if isinstance(given, Space):
        return given
    if isinstance(given, Mapping) and _portable(given):
        return Space(given)
    installed = dialects()
    for dialect in installed.values():
        if dialect.recognises(given):
            return dialect.read(given)
    raise SpaceError(
        f"{given!r} is no search space. Write a mapping of names to Float, Int and Categorical, "
        f"a function that calls trial.suggest_*, or a dialect of an installed plugin: "
        f"{listed(installed)}"
    )


def write(space: Space, dialect: str) -> Any:
    """Return a portable space in the dialect of that name.

    Raises:
        SpaceError: No such dialect is installed, or it cannot express the space.
    """
    installed = dialects()
    if dialect not in installed:
        raise SpaceError(
            f"no dialect is called {dialect!r}.{nearest(dialect, installed)} "
            f"Installed: {listed(installed)}"
        )
    return installed[dialect].write(space)


def dialects() -> dict[str, Dialect]:
    """Return the installed dialects by name; this imports the plugins that bring them."""
    return {
        entry.name: entry.load()()
        for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)
    }


def _portable(given: Mapping[Any, Any]) -> bool:
    return bool(given) and any(isinstance(v, Float | Int | Categorical) for v in given.values())
