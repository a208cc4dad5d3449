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

from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from hpsearch.plugins.installers import Engine

API_VERSION: Final = 1
"""The version of the hooks that this core speaks."""

ENTRY_POINT_GROUP: Final = "hpsearch.backends"


class Exhausted(Enum):
    """The type of :data:`EXHAUSTED`."""

    EXHAUSTED = "exhausted"


EXHAUSTED: Final = Exhausted.EXHAUSTED
"""The answer of ``hpsearch_suggest`` when there is nothing left to try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do, in a fixed vocabulary. What is not declared is refused beforehand.

    Attributes:
        log: Searches ``Float`` and ``Int`` on a logarithmic scale.
        step: Searches ``Float`` and ``Int`` in steps.
        conditions: Searches spaces with conditional parameters.
        define_by_run: Suggests one parameter at a time while the trial runs.
        pruning: Decides itself, in ``hpsearch_report``, which trials to stop.
        multi_objective: Takes several directions.
        max_parallel: How many suggestions may be open at a time; None for any number.
        replay: Accepts results of trials that it did not suggest (resume, enqueue).
        seeding: The same seed gives the same suggestions.
        exhaustible: Ends by itself, with ``EXHAUSTED``, when a finite space has been tried.
        owns_loop: Runs the trials itself, in ``hpsearch_run``.
        checkpoints: Continues trials from checkpoints, a trial's own or another's
            (population-based training), so a trial has to hand one in with each report.
        dialect: The dialect whose own distributions (``Native``) it searches, None for none.
    """

    log: bool = False
    step: bool = False
    conditions: bool = False
    define_by_run: bool = False
    pruning: bool = False
    multi_objective: bool = False
    max_parallel: int | None = 1
    replay: bool = False
    seeding: bool = False
    exhaustible: bool = False
    owns_loop: bool = False
    checkpoints: bool = False
    dialect: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the capabilities by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


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
        engine: What ``hpsearch install`` installs for it, where pip alone cannot.
    """

    api_version: ClassVar[int]
    capabilities: ClassVar[Capabilities] = Capabilities()
    Options: ClassVar[type[Any]] = NoOptions
    engine: ClassVar[Engine | None] = None

    def __init__(self, options: Any) -> None:
        self.options = options

    @classmethod
    def capabilities_for(cls, options: Any) -> Capabilities:
        """Return what the backend can do with these options, where they make a difference."""
        del options
        return cls.capabilities
