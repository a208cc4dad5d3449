"""Reading a search space however it is written.

A *dialect* is an engine's native way of writing a space. Each plugin reads and writes its own and
names it in the entry-point group ``hpsearch.dialects``; reading one needs that plugin installed and
imports none of its engine. The portable form and define-by-run functions are the core's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Protocol

from hpsearch.errors import (
    PIP_LINES,
    BackendError,
    HpsearchError,
    SpaceError,
    brief,
    described,
    listed,
    nearest,
)
from hpsearch.space.distributions import Categorical, Float, Int, Native
from hpsearch.space.space import Space
from hpsearch.space.thresholds import Threshold

ENTRY_POINT_GROUP: Final = "hpsearch.dialects"


class Dialect(Protocol):
    """An engine's native way of writing a space.

    A plugin's has every one of these names; one that inherits from this class has only to write
    ``recognises``, ``read`` and ``write``.
    """

    name: str

    def recognises(self, native: object) -> bool:
        """Whether the object is a space written in this dialect, judged by its shape alone."""

    def read(self, native: Any) -> Space:
        """Return the portable space of the same meaning.

        Raises:
            SpaceError: Naming the parameter and the feature that cannot be carried over.
        """

    def extra_settings(self, native: Any) -> Sequence[str]:
        """Name what the object says in addition to the space; only its own backend uses it."""
        return ()

    def goals(self, native: Any) -> Sequence[str] | None:
        """Return the directions that the object states, one for each objective, None for none."""
        return None

    def metrics(self, native: Any) -> Sequence[str] | None:
        """Return the names of the metrics that the object optimises, one for each objective.

        None where it names none.
        """
        return None

    def thresholds(self, native: Any, directions: Sequence[str]) -> Sequence[Threshold]:
        """Return the bounds on metrics that the object states; every backend keeps them.

        Args:
            native: The object.
            directions: The search's directions.

        Raises:
            OptionError: A bound does not have the engine's form, or does not fit the directions.
        """
        return ()

    def write(self, space: Space) -> Any:
        """Return the space in this dialect.

        Raises:
            SpaceError: Naming the parameter and the feature that cannot be carried over.
        """


_PROTOCOL: Final = (
    "name",
    "recognises",
    "read",
    "extra_settings",
    "goals",
    "metrics",
    "thresholds",
    "write",
)


@dataclass(frozen=True, slots=True)
class SpaceSource:
    """What a search was given as its space, after reading.

    Attributes:
        space: The portable space; None for a define-by-run search.
        function: The define-by-run function to call in each trial, None if there is none.
        names: The parameters known before the first trial, None if none can be.
        native: The object in a plugin's dialect that the space was read from, None for other ways.
        dialect: Who read it, None for other ways.
        goals: The directions that the native object states, None where it states none.
        metrics: The names of the metrics that the native object optimises, None for none.
        overruled: Whether the caller's direction counts where it is another one.
    """

    space: Space | None
    function: Callable[[Any], Any] | None = None
    names: tuple[str, ...] | None = None
    native: Any = None
    dialect: Dialect | None = None
    goals: Sequence[str] | None = None
    metrics: Sequence[str] | None = None
    overruled: bool = False

    @classmethod
    def portable(cls, space: Space, function: Callable[[Any], Any] | None = None) -> SpaceSource:
        """A source whose parameters are all known."""
        if function is None and space.groups:
            function = Nested(space)
        return cls(space, function, tuple(space.parameters))

    @classmethod
    def of(cls, given: Any) -> SpaceSource:
        """A source that is an object in the portable form or in any installed dialect.

        Raises:
            SpaceError: Nobody recognises it, or its meaning cannot be carried over.
        """
        dialect = recognise(given)
        if dialect is None:
            return cls.portable(given if isinstance(given, Space) else Space(given))
        source = cls.portable(_read(dialect, given))
        return replace(
            source,
            native=given,
            dialect=dialect,
            goals=_asked(dialect, "goals", given),
            metrics=_asked(dialect, "metrics", given),
        )

    def native_for(self, dialect: str | None) -> Any:
        """Return the native object if it is in that dialect, else None."""
        mine = self.dialect is not None and self.dialect.name == dialect
        return self.native if mine else None

    def left_out(self, dialect: str | None) -> Sequence[str]:
        """Name what the native object says for a backend of its dialect, and no other uses."""
        if self.dialect is None or self.dialect.name == dialect:
            return ()
        settings: Sequence[str] = _asked(self.dialect, "extra_settings", self.native)
        return settings

    def thresholds(self, directions: Sequence[str]) -> Sequence[Threshold]:
        """Return the bounds on metrics that the native object states."""
        if self.dialect is None:
            return ()
        stated: Sequence[Threshold] = _asked(self.dialect, "thresholds", self.native, directions)
        return stated


@dataclass(frozen=True, slots=True)
class Nested:
    """The space function of a space with groups: adds them to what the objective gets."""

    space: Space

    def __call__(self, trial: Any) -> dict[str, Any]:
        """Return the groups of a trial, nested."""
        return self.space.nested(trial.params)


@dataclass(frozen=True, slots=True)
class OverruledGoals:
    """A space that may state the goal of its metric, where the caller's direction counts.

    Attributes:
        space: The space, in any form that :func:`read_source` takes.
        otherwise: The goal where the space states none and names no metric; None for none.
    """

    space: Any
    otherwise: str | None = None


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
    if isinstance(given, OverruledGoals):
        source = read_source(given.space, define_by_run=define_by_run)
        if source.goals is None and source.metrics is None and given.otherwise is not None:
            source = replace(source, goals=(given.otherwise,))
        return replace(source, overruled=True)
    if not callable(given):
        return SpaceSource(None) if given is None else SpaceSource.of(given)
    from hpsearch.space import explore

    probe = explore.probe(given)
    if probe.suggested:
        if define_by_run:
            return SpaceSource(None, given, probe.names)
        return SpaceSource.portable(explore.explore(given), given)
    if not probe.returned:
        return SpaceSource(None)
    return SpaceSource.of(probe.returned)


def read(given: Any) -> Space:
    """Return the portable space of an object in any installed dialect.

    Raises:
        SpaceError: Nobody recognises the object, or its meaning cannot be carried over.
    """
    dialect = recognise(given)
    if dialect is not None:
        return _read(dialect, given)
    return given if isinstance(given, Space) else Space(given)


def _read(dialect: Dialect, given: Any) -> Space:
    space = _asked(dialect, "read", given)
    if not isinstance(space, Space):
        raise SpaceError(
            f"dialect {dialect.name!r} read {brief(given)} as {brief(space)}, expected a Space"
        )
    return space


def _asked(dialect: Dialect, method: str, given: object, *further: object) -> Any:
    """Call a method of a dialect; a mistake of the dialect's own is an error that names it."""
    try:
        return getattr(dialect, method)(given, *further)
    except HpsearchError:
        raise
    except (Exception, SystemExit) as error:
        verb = "write" if method == "write" else "read"
        raise SpaceError(
            f"dialect {dialect.name!r} cannot {verb} {brief(given)}, in {method}: "
            f"{described(error)}"
        ) from error


def recognise(given: Any) -> Dialect | None:
    """Return the installed dialect that an object is written in, None for the portable form.

    Raises:
        SpaceError: It is neither.
    """
    if isinstance(given, Space) or (isinstance(given, Mapping) and _portable(given)):
        return None
    installed, broken = _load_all()
    for name, dialect in installed.items():
        try:
            if dialect.recognises(given):
                return dialect
        except (Exception, SystemExit) as error:  # noqa: BLE001 - hurts only who needs it
            broken[name] = error
    absent = [line for name, line in PIP_LINES.items() if name not in installed]
    more = f" Others come with {', '.join(absent)}." if absent else ""
    more += "".join(
        f" Dialect {name!r} is broken: {described(error)}." for name, error in broken.items()
    )
    raise SpaceError(
        f"{brief(given)} is not a search space. Write a mapping of names to Float, Int and "
        "Categorical, a function that calls trial.suggest_*, or a dialect of an installed plugin: "
        f"{listed(installed)}.{more}"
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
    return _asked(installed[dialect], "write", space)


def dialects() -> dict[str, Dialect]:
    """Return the installed dialects by name, without those that cannot be imported."""
    return _load_all()[0]


def load(entry: EntryPoint) -> Dialect:
    """Import and make a dialect.

    Raises:
        BackendError: It lacks something of the protocol, as one written for an earlier version may.
        Exception: Whatever its module or its class raises.
    """
    dialect: Dialect = entry.load()()
    missing = [name for name in _PROTOCOL if not hasattr(dialect, name)]
    if missing:
        raise BackendError(f"it does not have {listed(missing)}, which every dialect needs")
    return dialect


def _load_all() -> tuple[dict[str, Dialect], dict[str, BaseException]]:
    """Import the plugins that bring dialects; return these, and what went wrong with others."""
    loaded: dict[str, Dialect] = {}
    broken: dict[str, BaseException] = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        try:
            loaded[entry.name] = load(entry)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - hurts only who needs it
            broken[entry.name] = error
    return loaded, broken


def _portable(given: Mapping[Any, Any]) -> bool:
    return bool(given) and any(
        isinstance(v, Float | Int | Categorical | Native) for v in given.values()
    )
