"""Executors of the kit: several trials open at a time, and trials in another process."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from hpsearch.execution.evaluate import Outcome, payload_of
from hpsearch.study.channel import MessageChannel, answer

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.session.coordinator import History
    from hpsearch.study.trial import Trial


class SeveralOpen:
    """Keeps trials open and runs each when it is waited for, in this process.

    Args:
        n_workers: How many to keep open.
        last_first: End the trial first that started last.
    """

    def __init__(self, n_workers: int, *, last_first: bool = False) -> None:
        self.n_workers = n_workers
        self._next = -1 if last_first else 0
        self._submitted: list[Trial] = []

    def open(self, history: History, evaluate: Evaluate) -> None:
        """Get ready."""
        self._history = history
        self._evaluate = evaluate

    def submit(self, trial: Trial) -> None:
        """Take a trial that has started."""
        self._submitted.append(trial)

    def wait(self) -> tuple[Trial, Outcome]:
        """Run one of the submitted trials."""
        trial = self._submitted.pop(self._next)
        channel = self._history.channel(trial)
        return trial, self._evaluate.run(trial, channel)

    def close(self) -> None:
        """Forget what was not run."""
        self._submitted.clear()


class OtherProcess:
    """Runs one trial at a time in a spawned process. All that crosses the pipe is JSON text."""

    n_workers = 1

    def open(self, history: History, evaluate: Evaluate) -> None:
        """Start the process and hand it ``evaluate``, pickled."""
        self._history = history
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_work, args=(far, pickle.dumps(evaluate)))
        self._process.start()
        far.close()

    def submit(self, trial: Trial) -> None:
        """Send a trial over."""
        self._trial = trial
        _send(self._pipe, payload_of(trial))

    def wait(self) -> tuple[Trial, Outcome]:
        """Answer the trial until it hands in its outcome."""
        while True:
            message = _receive(self._pipe)
            if "outcome" in message:
                return self._trial, Outcome.from_dict(message["outcome"])
            _send(self._pipe, answer(self._history, self._trial, message))

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(timeout=30)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(pipe: Connection, pickled: bytes) -> None:
    evaluate: Evaluate = pickle.loads(pickled)  # noqa: S301 - written by the parent just now

    def ask(message: dict[str, Any]) -> dict[str, Any]:
        _send(pipe, message)
        return _receive(pipe)

    while True:
        try:
            payload = _receive(pipe)
        except EOFError:
            return
        outcome = evaluate(payload, MessageChannel(ask))
        _send(pipe, {"outcome": outcome.to_dict()})


def _send(pipe: Connection, message: dict[str, Any]) -> None:
    pipe.send_bytes(json.dumps(message).encode())


def _receive(pipe: Connection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(pipe.recv_bytes())
    return message
