"""A :class:`Control`: what a plugin or an executor may call on a running search.

It is reached as ``study.history``. What only the session itself may call is not on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hpsearch.study.channel import Channel
    from hpsearch.study.outcome import Outcome
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


class Control(Protocol):
    """Starts trials, hears of them, and ends the search. Safe to call from several threads.

    In a process that was forked from the one in which the search runs, every call that would
    change something raises :class:`~hpsearch.errors.HpsearchError`.
    """

    @property
    def study(self) -> Study:
        """The study that is searched."""

    # Which trials there will be.

    @property
    def stop_reason(self) -> str | None:
        """Why no further trial starts, None while trials may start."""

    @property
    def broken(self) -> Exception | None:
        """The error of a plugin that ended the search, None while none has."""

    @property
    def remaining(self) -> int | None:
        """How many trials of the total have not started, None without a total."""

    @property
    def waiting(self) -> Mapping[int, Mapping[str, Any]]:
        """What is enqueued or unfinished and has not started: parameters by trial number."""

    @property
    def has_waiting(self) -> bool:
        """Whether :meth:`ask` would start a trial that waits: enqueued, unfinished or retried."""

    @property
    def next_number(self) -> int:
        """The number that the next trial gets that :meth:`begin` starts."""

    def may_start(self) -> bool:
        """Whether another trial may start now: the total, the timeout and a stop say so."""

    def request_stop(self, reason: str) -> None:
        """Start no more trials; the running ones continue to their end."""

    def enqueue(self, params: object) -> None:
        """Run a trial with these parameters before anything is suggested.

        Args:
            params: A mapping of names to values, a trial, or a best run.

        Raises:
            SpaceError: They are not a point of the study's space.
            ArgumentError: They are not a mapping, or not JSON.
        """

    def adopt(self, trials: Sequence[TrialRecord]) -> None:
        """Make trials that ended in the engine's own storage the study's own.

        For ``hpsearch_open`` alone: a backend calls it before anything else has trials.
        """

    # One trial, from its start to its end.

    def ask(self) -> TrialRecord | None:
        """Start the next trial: one that waits, or else one that the backend suggests.

        Returns:
            The running trial; None where no trial may start, or the backend has nothing left to
            try.

        Raises:
            BackendError: The backend gave no answer, or one that is not a point of the space.
        """

    def begin(self, params: Mapping[str, Any], *, id: str | None = None) -> TrialRecord:
        """Start a trial whose parameters the engine has chosen itself.

        Args:
            params: A point of the study's space.
            id: The engine's own name for the trial, unique in the study.

        Raises:
            BackendError: The parameters are not a point of the space.
        """

    def channel(self, trial: TrialRecord) -> Channel:
        """Return the channel for a trial that runs in this process.

        For one that runs elsewhere, :func:`hpsearch.execution.messages.answer` serves its messages
        through this channel.
        """

    def change(self, trial: TrialRecord, params: Mapping[str, Any]) -> None:
        """Give a running trial other parameters, as population-based training does.

        What they were, and up to which step, is kept in ``trial.attrs["changed_params"]``.

        Raises:
            BackendError: The parameters are not a point of the space.
        """

    def annotate(self, trial: TrialRecord, name: str, value: Any) -> None:
        """Keep a JSON fact with a running trial.

        Raises:
            ArgumentError: The name is not a text, or the value is not JSON.
        """

    def tell(self, trial: TrialRecord, outcome: Outcome) -> None:
        """Record how a trial ended, tell everyone, and judge whether the search goes on.

        Raises:
            HpsearchError: The trial is not running: it was told before.
        """

    def amend(self, trial: TrialRecord, facts: Mapping[str, Any]) -> None:
        """Change JSON facts of a trial that has ended, such as a checkpoint that was deleted.

        Raises:
            ArgumentError: A fact is not JSON.
        """
