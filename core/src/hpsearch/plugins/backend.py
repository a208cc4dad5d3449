"""What a backend is: a class that states what it can do and implements the hooks it needs.

The smallest one is a class with three attributes and one method::

    class MyBackend(Backend):
        api_version = 1
        capabilities = Capabilities(log=True)

        @hookimpl
        def hpsearch_suggest(self, study, trial):
            return study.space.sample(self.rng)

Its distribution names it in the entry-point group ``hpsearch.backends``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hpsearch.study.capabilities import Capabilities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpsearch.plugins.installers import Engine
    from hpsearch.space.thresholds import Threshold

__all__ = [
    "API_VERSION",
    "ENTRY_POINT_GROUP",
    "EXHAUSTED",
    "USUAL",
    "Backend",
    "Capabilities",
    "Exhausted",
    "NoOptions",
]

API_VERSION: Final = 1
"""The version of the hooks that this core speaks."""

ENTRY_POINT_GROUP: Final = "hpsearch.backends"

USUAL: Final = Capabilities(
    log=True,
    step=True,
    conditions=True,
    multi_objective=True,
    max_parallel=None,
    replay=True,
    seeding=True,
)
"""What most engines can do. A backend says with :func:`dataclasses.replace` what is different."""


class Exhausted(Enum):
    """The type of :data:`EXHAUSTED`."""

    EXHAUSTED = "exhausted"


EXHAUSTED: Final = Exhausted.EXHAUSTED
"""The answer of ``hpsearch_suggest`` when there is nothing left to try."""


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a backend that has none."""


class Backend:
    """The base of backends. A subclass implements hooks as methods marked ``@hookimpl``.

    One instance serves one search. The module that holds the class imports no engine: that happens
    in ``hpsearch_open``.

    Attributes:
        api_version: The version of the hooks that the class was written for; has no default, so
            that a plugin says itself what it speaks.
        capabilities: What it can do.
        Options: A frozen dataclass: the options that ``search(..., **backend_options)`` accepts.
            Its ``__post_init__`` may raise ``OptionError`` for a value it refuses.
        instead: What the engine's users know as an option and a search says in another way: the
            name, and what the error tells them to write.
        engine: What ``hpsearch install`` installs for it, where pip alone cannot.
    """

    api_version: ClassVar[int]
    capabilities: ClassVar[Capabilities] = Capabilities()
    Options: ClassVar[type[Any]] = NoOptions
    instead: ClassVar[Mapping[str, str]] = {}
    engine: ClassVar[Engine | None] = None

    def __init__(self, options: Any) -> None:
        self.options = options

    @classmethod
    def capabilities_for(cls, options: Any) -> Capabilities:
        """Return what the backend can do with these options, where they make a difference."""
        del options
        return cls.capabilities

    @classmethod
    def thresholds_for(cls, options: Any, directions: Sequence[str]) -> Sequence[Threshold] | None:
        """Return the bounds on metrics that these options state, which the core then keeps.

        Args:
            options: The backend's options.
            directions: The search's directions.

        Returns:
            The bounds; None leaves it to the native space, which may state some too.

        Raises:
            OptionError: A bound does not have the engine's form, or does not fit the directions.
        """
        del options, directions
        return None

    @classmethod
    def metrics_for(cls, options: Any) -> Sequence[str] | None:
        """Return the names of the metrics that these options say to optimise, None for none."""
        del options
        return None
