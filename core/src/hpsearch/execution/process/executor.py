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

from hpsearch.errors import ArgumentError, HpsearchError, SearchTerminated, TrialTimeoutError
from hpsearch.execution.evaluate import Evaluate
from hpsearch.execution.executor import Executor
from hpsearch.execution.messages import answer
from hpsearch.execution.pickling import dump_evaluation
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

_TIME_TO_BEGIN = 60.0
"""Seconds that a worker which is ready has to take up a trial, where trials have a limit.

A trial's own time starts when it has begun, so a worker that is stuck before would never end."""


class ProcessExecutor(Executor):
    """Keeps up to ``n_workers`` processes, and serves their trials from the search's thread.

    Args:
        n_workers: How many trials run at a time. None: as many as there are accelerators for, or
            one where there are none.
        options: See :class:`~hpsearch.execution.process.options.ProcessOptions`.

    Raises:
        ArgumentError: There are too few devices, or worker processes do not work here.
        HpsearchError: The folder in which devices are leased is not this user's alone.
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
        if each:
            devices.lease_folder()  # refused here, and not in each worker
        self._settings = {"devices": visible, "devices_per_trial": each}
        self._environment = devices.threads(self.n_workers, options.threads_per_worker)
        self._options = options
        self._workers: list[Worker] = []
        self._leaving: list[Worker] = []
        self._submitted: deque[TrialRecord] = deque()
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
            self._packed.write(dump_evaluation(evaluate, cloudpickle.Pickler))
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
        self._submitted.append(trial)
        self._hand_out()

    def wait(self) -> tuple[TrialRecord, Outcome]:
        """Serve all workers until a trial has ended."""
        while not self._ended:
            self._serve()
        return self._ended.popleft()

    def close(self) -> None:
        """End every worker, those that run a trial as well; none is left."""
        from hpsearch.execution.process.inside import GRACE

        every = [*self._workers, *self._leaving]
        for worker in every:
            worker.hang_up()
        deadline = time.monotonic() + GRACE + 1
        try:
            for worker in every:
                worker.end(deadline - time.monotonic())
        finally:
            for worker in every:
                worker.kill()
            self._workers.clear()
            self._leaving.clear()
            self._submitted.clear()
            self._packed.close()
            if self._sigterm is not None:
                signal.signal(signal.SIGTERM, self._sigterm)

    # Serving the workers.

    def _serve(self) -> None:
        """Wait until something happens, and handle everything that has."""
        by_line = {worker.line: worker for worker in (*self._workers, *self._leaving)}
        for line in connection.wait(list(by_line), timeout=self._patience()):
            worker = by_line[line]  # type: ignore[index]
            hear = self._hear if worker in self._workers else self._hear_the_last_of
            hear(worker)
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.deadline is not None and now >= worker.deadline:
                assert self._options.trial_timeout is not None
                self._fail(worker, worker.overdue(self._options.trial_timeout))
            elif not worker.is_alive and not worker.line.poll():
                self._fail(worker, worker.death())
        for worker in list(self._leaving):
            if not worker.is_alive or (worker.deadline is not None and now >= worker.deadline):
                worker.kill()
                self._leaving.remove(worker)
        self._hand_out()

    def _hear(self, worker: Worker) -> None:
        try:
            message = worker.receive()
            running = None if worker.trial is None else worker.trial.number
            if "ready" in message:
                worker.is_ready = self._is_proven = True
                self._set_clock(worker)
            elif "began" in message:
                worker.has_begun = message["began"] == running
                self._set_clock(worker)
            elif "refused" in message:
                self._refused(worker, error_from_dict(message["refused"]))
            elif "outcome" not in message:
                worker.send(answer(self._control, worker.trial, message))
            elif message["trial"] == running:
                self._ended.append((worker.done(), outcome_from_dict(message["outcome"])))
                if self._options.isolate:
                    self._dismiss(worker)
        except (EOFError, OSError):
            self._fail(worker, worker.death())

    def _hear_the_last_of(self, worker: Worker) -> None:
        """Take what a worker still says that was let go, so that only its end is waited for."""
        try:
            worker.receive()
        except (EOFError, OSError):  # it has ended
            worker.kill()
            self._leaving.remove(worker)

    def _hand_out(self) -> None:
        """Give submitted trials to workers, as far as there are any or may be more."""
        while self._submitted:
            idle = [worker for worker in self._workers if worker.trial is None]
            if idle:
                worker = min(idle, key=lambda worker: not worker.is_ready)
            elif len(self._workers) + len(self._leaving) < self.n_workers:
                worker = self._start()
            else:
                return
            try:
                worker.run(self._submitted[0])
            except OSError:  # it is dead
                worker.kill()
                self._workers.remove(worker)
            else:
                self._submitted.popleft()
                self._set_clock(worker)

    def _refused(self, worker: Worker, error: TrialError) -> None:
        """Say that the evaluation could not be unpacked."""
        worker.end()
        self._fail(
            worker,
            ArgumentError(
                "trials run in other processes here, and what they need cannot be loaded there: "
                f"{error}"
            ),
        )

    def _fail(self, worker: Worker, error: HpsearchError) -> None:
        """Fail the trial of a worker that is gone; or the search, if no worker ever was ready."""
        self._workers.remove(worker)
        is_late = isinstance(error, TrialTimeoutError)
        if worker.trial is None:
            if not self._is_proven:
                if written := worker.last_lines():
                    error.add_note(written)
                raise error
        elif worker.is_ready and not worker.has_begun and not is_late:
            self._submitted.append(worker.done())  # it died while idle: no trial's failure
        else:
            # It was raised nowhere: what its worker wrote last stands in place of a traceback.
            failed = replace(TrialError.of(error), traceback=worker.last_lines())
            outcome = Outcome(TrialState.FAILED, error=failed, exception=error)
            self._ended.append((worker.done(), outcome))

    def _start(self) -> Worker:
        from hpsearch.execution.process.worker import Worker

        packed = self._packed.fileno()
        worker = Worker(next(self._numbers), packed, self._settings, self._environment)
        self._workers.append(worker)
        return worker

    def _dismiss(self, worker: Worker) -> None:
        """Let a worker end in its own time; none takes its place before it has."""
        from hpsearch.execution.process.inside import GRACE

        worker.hang_up()
        worker.deadline = time.monotonic() + GRACE + 1
        self._leaving.append(worker)  # before it is removed, for Ctrl-C may come in between
        self._workers.remove(worker)

    def _set_clock(self, worker: Worker) -> None:
        """Start a trial's time when it has begun; until then a ready worker has some to begin."""
        limit = self._options.trial_timeout
        if limit is not None and worker.trial is not None and worker.is_ready:
            seconds = limit if worker.has_begun else max(limit, _TIME_TO_BEGIN)
            worker.deadline = time.monotonic() + seconds

    def _patience(self) -> float:
        every = (*self._workers, *self._leaving)
        deadlines = [worker.deadline for worker in every if worker.deadline is not None]
        return max(0.0, min([_LOOK_AGAIN, *(each - time.monotonic() for each in deadlines)]))

    def _end_on_sigterm(self) -> None:
        """Have SIGTERM end the search in order, as Ctrl-C does, unless the program handles it."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._sigterm = signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SearchTerminated(128 + number)
