"""How a trial ended: its state, its objective values or its error, in a form that travels."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from hpsearch.errors import without_passwords

INTERRUPTED: Final = "Interrupted"
"""The error type of a trial that ended because its search was interrupted."""


class TrialState(StrEnum):
    """Where a trial is in its life. Every state but ``running`` is final."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrialError:
    """Why a trial failed, in a form that crosses processes and stays in the journal.

    Attributes:
        type: The exception's qualified name, such as ``ValueError`` or ``torch.OutOfMemoryError``.
        message: Its text.
        traceback: The formatted traceback, ``""`` where there is none.
        bases: Qualified names of the exception's classes, itself first; ``catch`` reads them.
    """

    type: str
    message: str
    traceback: str = ""
    bases: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> TrialError:
        """Describe an exception, also one whose own text cannot be had.

        What is kept and logged has no password of a URL.
        """
        bases = tuple(qualified_name(base) for base in type(error).__mro__[:-1])
        try:
            message = str(error)
        except (Exception, SystemExit, GeneratorExit) as problem:  # noqa: BLE001 - a broken __str__
            message = f"<its text cannot be had: str() raised {type(problem).__name__}>"
        text = "".join(traceback.format_exception(error))
        return cls(bases[0], without_passwords(message), without_passwords(text), bases)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended, as its evaluation sees it.

    Attributes:
        state: ``complete``, ``pruned`` or ``failed``.
        objectives: One finite value for each direction if complete, else None.
        error: Why it failed, else None.
        aborts: Whether the search ends with the trial, whatever the failure policy says.
        exception: The exception itself where it was raised in this process; never travels.
    """

    state: TrialState
    objectives: tuple[float, ...] | None = None
    error: TrialError | None = None
    aborts: bool = False
    exception: BaseException | None = field(default=None, compare=False)

    @classmethod
    def failed(cls, error: BaseException) -> Outcome:
        """The outcome of a trial that raised."""
        return cls(TrialState.FAILED, None, TrialError.of(error), exception=error)

    @classmethod
    def aborted(cls, error: BaseException) -> Outcome:
        """The outcome of a trial that refused its search."""
        return cls(TrialState.FAILED, None, TrialError.of(error), aborts=True, exception=error)


def qualified_name(cls: type) -> str:
    """Return a class's name with its module, builtins without."""
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
