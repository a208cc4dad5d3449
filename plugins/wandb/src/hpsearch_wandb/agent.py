"""W&B's own agent, in a thread: it registers, sends heartbeats, and gets one run after another.

The agent stops a run by raising an exception in the thread in which it called the function,
wherever that is just then: in the journal, say, or in the trainer. So the function called here only
waits, and the trial runs in the thread that asks for it: usually the main thread, where Ctrl-C and
whatever else needs signals work as everywhere.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from hpsearch.errors import BackendError

logger = logging.getLogger("hpsearch")

_POLL = 0.1
"""Seconds between two looks at what another thread or the clock may have decided."""

_PATIENCE = 60.0
"""Seconds that the agent has to end: it may be waiting for an answer of the server."""


class Job:
    """A run that the agent has started; it lasts until the search asks for the next.

    Attributes:
        offered: Whether the search can have it.
        stopped: Whether the server wants the run to stop.
        ended: Set once the trial is over.
    """

    def __init__(self) -> None:
        self.offered = False
        self.stopped = False
        self.ended = threading.Event()


class SweepAgent:
    """An agent of a sweep. While a job lasts, W&B's environment variables are those of its run.

    Args:
        sweep_id: The sweep.
        entity: Its entity.
        project: Its project.
    """

    def __init__(self, sweep_id: str, entity: str, project: str) -> None:
        from wandb.agents.pyagent import Agent

        # What wandb.agent() runs; only here it can be ended. Tried with wandb 0.31.
        self._agent = Agent(  # type: ignore[no-untyped-call]
            sweep_id, project, entity, function=self._offer
        )
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._job: Job | None = None
        self._stopping = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="wandb-agent", daemon=True)
        self._thread.start()

    def next(self, goes_on: Callable[[], bool]) -> Job | None:
        """End the job before and wait for the next; None if the sweep has ended.

        Args:
            goes_on: Asked while waiting; None is the answer when it says no.

        Raises:
            BackendError: The agent failed.
        """
        self._release()
        while goes_on():
            try:
                job = self._jobs.get(timeout=_POLL)
            except Empty:
                if self._agent._exit_flag:
                    self._wake()  # It would sleep on for up to ten seconds.
                continue
            if job is None:
                break
            if not job.ended.is_set():  # Stopped while it was offered, it is offered twice.
                self._job = job
                return job
        if self._error is not None:
            raise BackendError(f"W&B's agent failed: {self._error}") from self._error
        return None

    def stop(self) -> None:
        """End the job and the agent; when this returns, W&B is free for another run."""
        self._agent._exit_flag = True  # Before the job ends: so the server is not asked for more.
        self._stopping = True  # A job that nobody took ends as well.
        self._release()
        self._wake()
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            logger.warning("W&B's agent did not end in %g s; its thread stays behind", _PATIENCE)

    def _release(self) -> None:
        if self._job is not None:
            self._job.ended.set()
            self._job = None

    def _wake(self) -> None:
        self._agent._queue.put(None)

    def _run(self) -> None:
        try:
            self._agent.run()  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - it is raised where the next job is asked for
            self._error = error
        self._jobs.put(None)

    def _offer(self) -> None:
        """Be the function of a run, in the agent's thread: last as long as the trial does."""
        job = Job()
        while not (job.ended.is_set() or self._stopping):
            try:
                if not job.offered:
                    self._jobs.put(job)
                    job.offered = True
                job.ended.wait(_POLL)
            except Exception:  # noqa: BLE001 - this is how the agent stops a run
                job.stopped = True
