"""``executor="process"``: each trial in a worker process of its own; the workers are reused."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from multiprocessing import connection
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from hpsearch.errors import ArgumentError, HpsearchError
from hpsearch.execution.evaluate import Evaluate
from hpsearch.execution.executor import Executor
from hpsearch.execution.messages import answer
from hpsearch.execution.pickling import pack
from hpsearch.execution.process import devices
from hpsearch.execution.process.options import ProcessOptions
from hpsearch.study.outcome import Outcome, TrialError, TrialState
from hpsearch.study.record import TrialRecord
from hpsearch.study.serial import error_from_dict, outcome_from_dict

if TYPE_CHECKING:
    from hpsearch.execution.process.worker import Worker
    from hpsearch.study.control import Control

_LOOK_AGAIN = 1.0
"""Seconds between two looks at whether the workers are alive.

A dead worker's line breaks at once, unless something that it started holds the other end."""


class ProcessExecutor(Executor):
    """Keeps up to ``n_workers`` processes, and serves their trials from the search's thread.

    Args:
        n_workers: How many trials run at a time. None: as many as there are accelerators for, or
            one where there are none.
        options: See :class:`~hpsearch.execution.process.options.ProcessOptions`.

    Raises:
        ArgumentError: There are too few devices, or worker processes do not work here.
    """

    Options: ClassVar[type[Any]] = ProcessOptions

    def __init__(self, n_workers: int | None, options: ProcessOptions) -> None:
        if not hasattr(os, "killpg"):
            raise ArgumentError("executor='process' needs Linux or macOS; use 'inline' or 'ray'")
        if find_spec("cloudpickle") is None:
            raise ArgumentError(
                "executor='process' needs cloudpickle. Run: pip install 'hpsearch[workers]'"
            )
        visible = devices.visible_devices()
        self.n_workers, each = devices.divide(visible, n_workers, options.devices_per_trial)
        self._settings = {"devices": visible, "devices_per_trial": each}
        self._environment = devices.threads(self.n_workers, options.threads_per_worker)
        self._options = options
        self._workers: list[Worker] = []
        self._ended: deque[tuple[TrialRecord, Outcome]] = deque()
        self._numbers = count(1)
        self._is_proven = False
        self._sigterm: Any = None

    def open(self, control: Control, evaluate: Evaluate) -> None:
        """Pack the evaluation, and start the workers.

        Raises:
            ArgumentError: Naming what cannot be sent to another process, or not be loaded there.
            WorkerDiedError: The first worker died before it was ready.
        """
        import cloudpickle

        self._control = control
        self._packed = TemporaryFile(prefix="hpsearch-")  # noqa: SIM115 - close() closes it
        self._end_on_sigterm()
        try:
            self._packed.write(pack(evaluate, cloudpickle.dumps))
            self._packed.flush()
            wanted = (self.n_workers, control.remaining, control.study.capabilities.max_parallel)
            for _ in range(min(number for number in wanted if number is not None)):
                self._start()
            while self._workers and not self._is_proven:
                self._serve()
        except BaseException:
            self.close()
            raise

    def submit(self, trial: TrialRecord) -> None:
        """Hand the trial to a worker that is ready, else to one that starts."""
        idle = [worker for worker in self._workers if worker.trial is None]
        for worker in sorted(idle, key=lambda worker: not worker.is_ready):
            try:
                worker.run(trial)
            except OSError:  # it is dead
                self._remove(worker)
            else:
                break
        else:
            worker = self._start()
            worker.run(trial)
        self._set_clock(worker)

    def wait(self) -> tuple[TrialRecord, Outcome]:
        """Serve all workers until a trial has ended."""
        while not self._ended:
            self._serve()
        return self._ended.popleft()

    def close(self) -> None:
        """End every worker, those that run a trial as well; none is left."""
        from hpsearch.execution.process.inside import GRACE

        for worker in self._workers:
            worker.hang_up()
        deadline = time.monotonic() + GRACE + 1
        try:
            for worker in self._workers:
                worker.end(deadline - time.monotonic())
        finally:
            for worker in self._workers:
                worker.kill()
            self._workers.clear()
            self._packed.close()
            if self._sigterm is not None:
                signal.signal(signal.SIGTERM, self._sigterm)

    # Serving the workers.

    def _serve(self) -> None:
        """Wait until something happens, and see to everything that has."""
        by_line = {worker.line: worker for worker in self._workers}
        for line in connection.wait(list(by_line), timeout=self._patience()):
            self._hear(by_line[line])  # type: ignore[index]
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.deadline is not None and now >= worker.deadline:
                assert self._options.trial_timeout is not None
                self._fail(worker, worker.overdue(self._options.trial_timeout))
            elif not worker.is_alive and not worker.line.poll():
                self._fail(worker, worker.death())

    def _hear(self, worker: Worker) -> None:
        try:
            message = worker.receive()
            if "ready" in message:
                worker.is_ready = self._is_proven = True
                self._set_clock(worker)
            elif "began" in message:
                worker.has_begun = True
            elif "refused" in message:
                self._refused(worker, error_from_dict(message["refused"]))
            elif "outcome" in message:
                self._ended.append((worker.done(), outcome_from_dict(message["outcome"])))
                if self._options.isolate:
                    self._remove(worker)
            else:
                worker.send(answer(self._control, worker.trial, message))
        except (EOFError, OSError):
            self._fail(worker, worker.death())

    def _refused(self, worker: Worker, error: TrialError) -> None:
        """Say that the evaluation could not be unpacked."""
        self._remove(worker)
        self._fail(
            worker,
            ArgumentError(
                "trials run in other processes here, and what they need cannot be loaded there: "
                f"{error}"
            ),
        )

    def _fail(self, worker: Worker, error: HpsearchError) -> None:
        """Fail the trial of a worker that is gone; or the search, if no worker ever was ready."""
        if worker in self._workers:
            self._workers.remove(worker)
        if worker.trial is not None and worker.is_ready and not worker.has_begun:
            self.submit(worker.done())  # it died while it had nothing to do: no trial's failure
        elif worker.trial is not None:
            # It was raised nowhere: what its worker wrote last is told in place of a traceback.
            written = "\n".join(getattr(error, "__notes__", ()))
            told = replace(TrialError.of(error), traceback=written)
            outcome = Outcome(TrialState.FAILED, error=told, exception=error)
            self._ended.append((worker.done(), outcome))
        elif not self._is_proven:
            raise error

    def _start(self) -> Worker:
        from hpsearch.execution.process.worker import Worker

        packed = self._packed.fileno()
        worker = Worker(next(self._numbers), packed, self._settings, self._environment)
        self._workers.append(worker)
        return worker

    def _remove(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.end()

    def _set_clock(self, worker: Worker) -> None:
        """Start a trial's time once it has a worker that is ready."""
        if worker.trial is not None and worker.is_ready and self._options.trial_timeout is not None:
            worker.deadline = time.monotonic() + self._options.trial_timeout

    def _patience(self) -> float:
        deadlines = [worker.deadline for worker in self._workers if worker.deadline is not None]
        return max(0.0, min([_LOOK_AGAIN, *(each - time.monotonic() for each in deadlines)]))

    def _end_on_sigterm(self) -> None:
        """Have SIGTERM end the search in order, as Ctrl-C does, unless it is spoken for."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._sigterm = signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
