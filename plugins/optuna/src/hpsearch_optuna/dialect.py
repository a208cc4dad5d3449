"""Optuna's two ways of writing a space: distributions by name, and define-by-run functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpsearch.space.dialects import Dialect
from hpsearch.space.space import Space
from hpsearch_optuna.space import draw, from_optuna, kind_of, to_optuna

if TYPE_CHECKING:
    import optuna


class OptunaDialect(Dialect):
    """Reads and writes what ``study.ask(fixed_distributions)`` takes; writes functions too.

    Reading a define-by-run function is the core's own: every backend can be given one.
    """

    name = "optuna"

    def recognises(self, native: object) -> bool:
        """Whether the object is a mapping of names to Optuna's distributions."""
        return (
            isinstance(native, Mapping)
            and bool(native)
            and all(kind_of(distribution) for distribution in native.values())
        )

    def read(self, native: Mapping[str, Any]) -> Space:
        """Return the portable space of the same meaning.

        Raises:
            SpaceError: A choice of the named categorical is not a JSON scalar.
        """
        return Space({name: from_optuna(distribution) for name, distribution in native.items()})

    def write(self, space: Space) -> dict[str, Any] | DefineByRun:
        """Return Optuna's distributions by name, or a function where the space has conditions.

        Raises:
            SpaceError: A parameter is in another engine's own words.
        """
        space.check_natives(self.name)
        if space.conditions:
            return DefineByRun(space)
        return {name: to_optuna(item) for name, item in space.parameters.items()}


class DefineByRun:
    """A space as the function that Optuna's users write: it asks a trial for each parameter.

    Args:
        space: What to ask for; a parameter with a condition only where it holds.
    """

    def __init__(self, space: Space) -> None:
        self.space = space

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the trial's parameters by name."""
        params: dict[str, Any] = {}
        for name, distribution in self.space.active(params):
            params[name] = draw(name, distribution)(trial)
        return params

    def __repr__(self) -> str:
        return f"DefineByRun({self.space!r})"
