"""The failure policy: which failures a search survives. The table is ``docs/failures.md``."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from hpsearch.errors import ArgumentError
from hpsearch.study.outcome import TrialState, qualified_name
from hpsearch.study.record import TrialRecord
from hpsearch.validators import limit

logger = logging.getLogger("hpsearch")

DEFAULT_MAX_FAILURES = 5
"""Failures in a row that a search survives, once a trial has ended well."""


class FailurePolicy:
    """Judges trials in the order in which they end, however many run at a time.

    Args:
        catch: Exception types that are expected: they never count.
        max_failures: How many failures in a row are survived, from 0 to ``math.inf``. None: 5, but
            none at all before the first trial that ends well, since then the code is wrong.

    Raises:
        ArgumentError: ``catch`` holds something else, or ``max_failures`` is not such a number.
    """

    def __init__(
        self,
        catch: type[BaseException] | Iterable[type[BaseException]] = (),
        max_failures: float | None = None,
    ) -> None:
        if not isinstance(catch, Iterable):
            catch = (catch,)
        types = tuple(catch)
        for item in types:
            if not (isinstance(item, type) and issubclass(item, Exception)):
                raise ArgumentError(f"catch has {item!r}, expected subclasses of Exception")
        self._caught = frozenset(qualified_name(item) for item in types)
        self._told = max_failures is not None
        self._allowed = (
            DEFAULT_MAX_FAILURES if max_failures is None else limit("max_failures", max_failures)
        )
        self._row = 0
        self._success = False

    def judge(self, trial: TrialRecord) -> str | None:
        """Take note of a trial that ended; return why the search must end, or None."""
        if trial.state is not TrialState.FAILED:
            self._success = True
            self._row = 0
            return None
        if trial.error is not None and self._caught.intersection(trial.error.bases):
            return None
        self._row += 1
        if not self._told and not self._success:
            return (
                f"trial {trial.number} failed before any trial had ended well, so the code is "
                "probably wrong; max_failures=... or catch=... lets a search go on"
            )
        if self._row > self._allowed:
            return (
                f"{self._row} trial{'s' if self._row > 1 else ''} in a row failed, and "
                f"max_failures is {self._allowed}"
            )
        return None


class FailureLog:
    """Shows failures: in full the first time that their kind is met, in one line afterwards."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def show(self, trial: TrialRecord) -> None:
        """Log how a trial failed."""
        error = trial.error
        if error is None:
            return
        if error.type in self._shown:
            logger.warning("trial %d failed: %s", trial.number, _writable(str(error)))
        else:
            self._shown.add(error.type)
            told = _writable(f"{error}\n{error.traceback.rstrip()}")
            logger.error("trial %d failed: %s", trial.number, told)


def _writable(text: str) -> str:
    """Return a text that every log can take, half characters (lone surrogates) written as such."""
    return text.encode(errors="backslashreplace").decode()
