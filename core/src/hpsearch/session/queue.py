"""The trials that wait to run with parameters known beforehand: enqueued, unfinished, retried."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.space.distributions import canonical

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord


@dataclass(frozen=True, slots=True)
class Waiting:
    """A trial that waits.

    Attributes:
        params: Its parameters.
        number: Its number, None where it gets one when it starts.
        retry_of: The number of the failed trial that it runs again, None for others.
    """

    params: Mapping[str, Any]
    number: int | None = None
    retry_of: int | None = None


class Queue:
    """Trials in the order in which they start: retries first, then unfinished, then enqueued."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def numbered(self) -> dict[int, Mapping[str, Any]]:
        """The parameters of those that have a number, by number."""
        return {item.number: item.params for item in self._waiting if item.number is not None}

    def enqueue(self, params: Mapping[str, Any], number: int) -> None:
        """Add a trial that the user wants to be tried."""
        self._waiting.append(Waiting(params, number))

    def retry(self, trial: TrialRecord) -> None:
        """Add a failed trial, to run again before all others."""
        self._waiting.appendleft(Waiting(trial.params, retry_of=trial.number))

    def next(self) -> Waiting | None:
        """Take the next one, None where none waits."""
        return self._waiting.popleft() if self._waiting else None

    def restore(
        self, ended: Iterable[TrialRecord], unfinished: Sequence[TrialRecord]
    ) -> list[Mapping[str, Any]]:
        """Take over the unfinished trials of an earlier run, in place of all that wait.

        Returns:
            The parameters that waited and that the earlier run does not know. An enqueued trial
            is known by the parameters that were set beforehand.
        """
        given = [item.params for item in self._waiting]
        self._waiting = deque(Waiting(t.params, t.number, t.retry_of) for t in unfinished)
        known = [t for t in (*ended, *unfinished) if t.fixed and t.retry_of is None]
        new = []
        for params in given:
            twin = next((trial for trial in known if _same(params, trial)), None)
            if twin is None:
                new.append(params)
            else:
                known.remove(twin)
        return new


def _same(params: Mapping[str, Any], trial: TrialRecord) -> bool:
    """Whether these are the parameters that were set beforehand for a trial."""
    drawn = trial.distributions
    return canonical(params, drawn) == canonical(trial.fixed, drawn)
