"""Executors of the kit: several trials open at a time, and trials in another process."""

from __future__ import annotations

import multiprocessing
import pickle
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from hpsearch.execution.environment import environment
from hpsearch.execution.executor import Executor
from hpsearch.execution.forks import run_in_this_process
from hpsearch.execution.messages import MessageChannel, answer
from hpsearch.study.outcome import Outcome
from hpsearch.study.serial import dumps, loads, outcome_from_dict, outcome_to_dict, payload_of

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.study.control import Control
    from hpsearch.study.record import TrialRecord


class SeveralOpen(Executor):
    """Keeps trials open and runs each when it is waited for, in this process.

    Args:
        n_workers: How many to keep open.
        last_first: End the trial first that started last.
    """

    def __init__(self, n_workers: int, *, last_first: bool = False) -> None:
        self.n_workers = n_workers
        self._next = -1 if last_first else 0
        self._submitted: list[TrialRecord] = []

    def open(self, control: Control, evaluate: Evaluate) -> None:
        """Get ready."""
        self._control = control
        self._evaluate = evaluate

    def submit(self, trial: TrialRecord) -> None:
        """Take a trial that has started."""
        self._submitted.append(trial)

    def wait(self) -> tuple[TrialRecord, Outcome]:
        """Run one of the submitted trials."""
        trial = self._submitted.pop(self._next)
        channel = self._control.channel(trial)
        return trial, self._evaluate.run(trial, channel)

    def close(self) -> None:
        """Forget what was not run."""
        self._submitted.clear()


class OtherProcess(Executor):
    """Runs one trial at a time in a spawned process. All that crosses the pipe is JSON text."""

    n_workers = 1

    def open(self, control: Control, evaluate: Evaluate) -> None:
        """Start the process and hand it ``evaluate``, pickled."""
        self._control = control
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_work, args=(far, pickle.dumps(evaluate)))
        with environment({"PYTHONSAFEPATH": "1"}):  # as -P does: nothing of the working directory
            self._process.start()
        far.close()

    def submit(self, trial: TrialRecord) -> None:
        """Send a trial over."""
        self._trial = trial
        _send(self._pipe, payload_of(trial))

    def wait(self) -> tuple[TrialRecord, Outcome]:
        """Answer the trial until it hands in its outcome."""
        while True:
            message = _receive(self._pipe)
            if "outcome" in message:
                return self._trial, outcome_from_dict(message["outcome"])
            _send(self._pipe, answer(self._control, self._trial, message))

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
        connect = partial(MessageChannel, send=ask)
        outcome = run_in_this_process(evaluate, payload, connect)
        _send(pipe, {"outcome": outcome_to_dict(outcome)})


def _send(pipe: Connection, message: dict[str, Any]) -> None:
    pipe.send_bytes(dumps(message).encode())


def _receive(pipe: Connection) -> dict[str, Any]:
    message: dict[str, Any] = loads(pipe.recv_bytes())
    return message
