"""Where trials run: an executor takes started trials and hands back their outcomes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from hpsearch.errors import ArgumentError, listed, nearest
from hpsearch.evaluate import Evaluate, Outcome

if TYPE_CHECKING:
    from hpsearch.history import History
    from hpsearch.trial import Trial


class Executor(Protocol):
    """Runs trials. ``n_workers`` of them may be submitted and not yet waited for."""

    n_workers: int

    def open(self, history: History, evaluate: Evaluate) -> None:
        """Get ready; called once, before the first trial."""

    def submit(self, trial: Trial) -> None:
        """Take a trial that has started."""

    def wait(self) -> tuple[Trial, Outcome]:
        """Block until one of the submitted trials has ended, and return it.

        Meanwhile it serves the running trials' channels through the history.
        """

    def close(self) -> None:
        """Release everything; called once, whatever happened."""


class InlineExecutor(Executor):
    """Runs one trial at a time in this process and thread, when it is waited for."""

    n_workers = 1

    def __init__(self) -> None:
        self._submitted: deque[Trial] = deque()

    def open(self, history: History, evaluate: Evaluate) -> None:
        self._history = history
        self._evaluate = evaluate

    def submit(self, trial: Trial) -> None:
        self._submitted.append(trial)

    def wait(self) -> tuple[Trial, Outcome]:
        trial = self._submitted.popleft()
        return trial, self._evaluate.run(trial, self._history.channel(trial))

    def close(self) -> None:
        self._submitted.clear()
        del self._history, self._evaluate


def make_executor(executor: str | Executor, n_workers: int | None) -> Executor:
    """Return the executor of that name, or the one given.

    Raises:
        ArgumentError: The name is unknown, or it cannot have that many workers.
    """
    if not isinstance(executor, str):
        if not hasattr(executor, "submit") or not hasattr(executor, "n_workers"):
            raise ArgumentError(f"executor is {executor!r}, expected 'inline' or an executor")
        return executor
    known = {"inline": InlineExecutor}
    if executor not in known:
        raise ArgumentError(
            f"executor {executor!r} is unknown.{nearest(executor, known)} Known: {listed(known)}"
        )
    if n_workers is not None and n_workers > 1:
        raise ArgumentError(
            f"n_workers is {n_workers}, and the inline executor runs one trial at a time"
        )
    return known[executor]()
