"""Every error hpsearch raises on purpose, and the helper that names the nearest right name.

The classes form one tree under :class:`HpsearchError`, so ``except HpsearchError`` catches all of
them and nothing else. Two names stand outside it because they are signals and not mistakes:
:class:`TrialPruned` (raised by an objective) and :class:`SearchInterrupted` (Ctrl-C).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.study.study import Study


class HpsearchError(Exception):
    """The base of every error that hpsearch raises on purpose."""


class ArgumentError(HpsearchError, ValueError):
    """An argument of a search has a value it cannot have, or two arguments exclude each other."""


class SpaceError(HpsearchError, ValueError):
    """A search space, or a set of parameters held against one, is not valid.

    The message names the parameter, what was given and what was expected.
    """


class OptionError(ArgumentError):
    """A backend was given an option that it does not have, or with a value that it refuses."""


class CapabilityError(HpsearchError):
    """The search asks for something that the chosen backend does not declare it can do."""


class BackendError(HpsearchError):
    """A plugin could not be loaded, or broke the contract of a hook.

    The message names the hook (where there is one), the plugin, its distribution and version.
    """


class BackendNotFoundError(BackendError, LookupError):
    """No installed distribution offers a backend of that name."""


class ObjectiveError(HpsearchError, ValueError):
    """The objective returned something that is no objective value: NaN, infinite, or too many."""


class WorkerDiedError(HpsearchError):
    """The process that ran a trial is gone: killed, crashed, or it exited."""


class TrialTimeoutError(HpsearchError):
    """A trial took longer than ``trial_timeout`` allows."""


class RankError(HpsearchError):
    """The processes of one launch (``torchrun``) can no longer train trials together."""


class JournalError(HpsearchError):
    """The journal cannot be used: a newer schema, another study's file, not a journal at all."""


class StudyLockedError(JournalError):
    """Another process is running the same study in the same journal."""


class SearchFailedError(HpsearchError):
    """Trials failed and the failure policy ended the search.

    Attributes:
        study: The study with every trial so far, the failed ones with their traceback.
    """

    def __init__(self, message: str, study: Study) -> None:
        super().__init__(message)
        self.study = study


class SearchInterrupted(KeyboardInterrupt):
    """Ctrl-C ended the search in order. Scripts die of it as of any ``KeyboardInterrupt``.

    Attributes:
        study: The study with every trial that had ended. With a journal, ``resume=True`` goes on.
    """

    def __init__(self, message: str, study: Study) -> None:
        super().__init__(message)
        self.study = study


class TrialPruned(Exception):  # noqa: N818 - the field's name for the signal
    """Raised by an objective to end its trial as pruned."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to ``name``, or ``""``."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def listed(names: Iterable[str]) -> str:
    """Return the names quoted and comma-separated for an error message, or ``none``."""
    return ", ".join(repr(name) for name in names) or "none"
