"""Which backends are broken, and which test of the kit catches each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type[Any])


@dataclass(frozen=True, slots=True)
class Broken:
    """A broken backend.

    Attributes:
        target: Where its class is, as ``module:attribute``.
        caught_by: The one test of the kit that fails.
        settings: What its conformance class sets in addition to ``backend``.
    """

    target: str
    caught_by: str
    settings: Mapping[str, Any] = field(default_factory=dict)


BROKEN: dict[str, Broken] = {}
"""Every broken backend by its name, which is that of its class."""


def caught_by(test: str, **settings: Any) -> Callable[[_Class], _Class]:
    """Register a class as a broken backend that one test of the kit catches."""

    def register(cls: _Class) -> _Class:
        BROKEN[cls.__name__] = Broken(f"{cls.__module__}:{cls.__name__}", test, settings)
        return cls

    return register
