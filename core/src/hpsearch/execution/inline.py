"""``executor="inline"``: one trial at a time, in this process and thread."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hpsearch.errors import ArgumentError
from hpsearch.execution.executor import Executor
from hpsearch.execution.forks import run_in_this_process

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.study.control import Control
    from hpsearch.study.outcome import Outcome
    from hpsearch.study.record import TrialRecord


class InlineExecutor(Executor):
    """Runs a trial when it is waited for."""

    n_workers = 1

    def __init__(self, n_workers: int | None = None, options: object = None) -> None:
        if n_workers is not None and n_workers > 1:
            raise ArgumentError(
                f"n_workers is {n_workers}, and the inline executor runs one trial at a time; "
                "executor='process' runs several"
            )
        self._submitted: deque[TrialRecord] = deque()

    def open(self, control: Control, evaluate: Evaluate) -> None:
        self._control = control
        self._evaluate = evaluate

    def submit(self, trial: TrialRecord) -> None:
        self._submitted.append(trial)

    def wait(self) -> tuple[TrialRecord, Outcome]:
        trial = self._submitted.popleft()
        channel = self._control.channel(trial)
        return trial, run_in_this_process(self._evaluate.run, trial, channel)

    def close(self) -> None:
        self._submitted.clear()
        del self._control, self._evaluate
