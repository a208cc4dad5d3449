"""Every error that hpsearch raises on purpose, and what their messages are made with.

The classes form one tree under :class:`HpsearchError`, so ``except HpsearchError`` catches all of
them and nothing else. Some names stand outside it because they are signals and not mistakes:
:class:`TrialPruned` and :class:`SearchAborted` (raised by an objective),
:class:`SearchInterrupted` (Ctrl-C) and :class:`SearchTerminated` (SIGTERM).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final

PIP_LINES: Final = {
    "optuna": "pip install hpsearch-optuna",
    "ray": "pip install hpsearch-ray",
    "wandb": "pip install hpsearch-wandb",
    "sigopt": "pip install hpsearch-sigopt",
}
"""How to install each of the project's own plugins, in the order in which they are preferred."""


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


class ReplayError(HpsearchError):
    """A trial was trained twice, as ``check_replay=True`` asks, and gave two results."""


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
        study: The :class:`~hpsearch.Study` with every trial so far, the failed ones with their
            traceback.
    """

    def __init__(self, message: str, study: Any) -> None:
        super().__init__(message)
        self.study = study


class SearchInterrupted(KeyboardInterrupt):
    """Ctrl-C ended the search in order. Scripts die of it as of any ``KeyboardInterrupt``.

    Attributes:
        study: The :class:`~hpsearch.Study` with every trial that had ended. With a journal,
            ``resume=True`` continues it.
    """

    def __init__(self, message: str, study: Any) -> None:
        super().__init__(message)
        self.study = study


class SearchTerminated(SystemExit):
    """SIGTERM ended a search in worker processes in order; its code is 143, as a shell has it."""


class TrialPruned(Exception):  # noqa: N818 - the field's name for the signal
    """Raised by an objective to end its trial as pruned."""


class EvaluationSignal(BaseException):
    """The base of what ends an evaluation from outside: no trial's own failure."""


class SearchAborted(Exception):  # noqa: N818 - a signal, as TrialPruned is
    """Raised by an objective whose parameters cannot take effect, to end the search as well.

    The trial fails with the cause, and the search raises it.

    Args:
        cause: What is wrong.
    """

    def __init__(self, cause: HpsearchError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def rebuilt(type_name: str, message: str) -> HpsearchError:
    """Return an error that was raised in another process, of its own class.

    Args:
        type_name: The qualified name of its class, such as ``hpsearch.errors.SpaceError``.
        message: Its text.
    """
    module, _, name = type_name.rpartition(".")
    kind = globals().get(name) if module == __name__ else None
    if isinstance(kind, type) and issubclass(kind, HpsearchError) and kind is not SearchFailedError:
        error: HpsearchError = kind(message)
        return error
    return HpsearchError(f"{type_name}: {message}")


def described(error: BaseException) -> str:
    """Return the name of an error's class and its text, also where its text cannot be had.

    It has no password of a URL.
    """
    try:
        return without_passwords(f"{type(error).__name__}: {error}")
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - a broken __str__ raises anything
        return f"{type(error).__name__} (its str() raised {type(problem).__name__})"


def brief(value: object, most: int = 200) -> str:
    """Return what a message shows of a value: its ``repr``, cut where that is long."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a broken __repr__, or an int of too many digits
        return f"<{type(value).__name__} whose repr() raised {type(error).__name__}>"
    return text if len(text) <= most else f"{text[:most]}..."


_PASSWORD = re.compile(r"(://)[^/?#\s]*@|(:/+)[^:/?#\s]*:\S*@")
"""What stands before the host in a URL: a token, or a user's name and password.

A password may have a slash in it, and a URL that became a path has lost one of its own.
"""


def without_passwords(text: str) -> str:
    """Return a text with ``***`` for whoever signs in, and with what, in each URL in it."""
    if ":/" not in text:
        return text
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***@", text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to ``name``, or ``""``."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def listed(names: Iterable[str]) -> str:
    """Return the names quoted and comma-separated for an error message, or ``none``."""
    return ", ".join(repr(name) for name in names) or "none"
