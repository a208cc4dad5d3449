"""One worker process, as its search sees it: started, talked to, and ended for certain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from typing import TYPE_CHECKING, Any

from hpsearch.errors import TrialTimeoutError, WorkerDiedError
from hpsearch.execution.process.inside import GOODBYE, GRACE, SHOW_STACKS
from hpsearch.execution.process.output import Output
from hpsearch.study.serial import dumps, loads, payload_of

if TYPE_CHECKING:
    from hpsearch.execution.messages import Message
    from hpsearch.study.record import TrialRecord

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from hpsearch.execution.process import inside; inside.main()"
)
"""What a worker runs. It does not run the user's script again, so that needs no guard.

Python gets ``-P``: it would otherwise import ``json`` from the working directory if it has one."""

_TIME_TO_SHOW = 0.1
"""Seconds that a worker gets to write where its threads are."""


class Worker:
    """A worker process and the line to it.

    It leads a process group of its own: Ctrl-C in a terminal reaches the search alone, and what a
    trial has started (data loaders, say) ends with its worker.

    Args:
        number: Marks what it writes while it runs no trial.
        packed: The descriptor of a file that holds the packed evaluation.
        settings: What :func:`hpsearch.execution.process.inside.main` reads, as JSON.
        environment: What is different in its environment.

    Attributes:
        trial: The trial that it runs, None while it is idle.
        is_ready: Whether it has unpacked the evaluation.
        has_begun: Whether it has taken up its trial.
        deadline: When its time is over, on the monotonic clock: its trial's, or its own once the
            search has hung up. None for never.
    """

    def __init__(
        self,
        number: int,
        packed: int,
        settings: Mapping[str, Any],
        environment: Mapping[str, str],
    ) -> None:
        self.trial: TrialRecord | None = None
        self.is_ready = False
        self.has_begun = False
        self.deadline: float | None = None
        self._idle_mark = f"worker {number}"
        self.line, far = Pipe()
        given = {**settings, "line": far.fileno(), "packed": packed}
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [
                *(sys.executable, "-P"),
                *(f"-W{option}" for option in sys.warnoptions),
                *("-c", _PROGRAM, json.dumps([*map(str, sys.path)]), json.dumps(given)),
                *sys.argv,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(far.fileno(), packed),
            env={**os.environ, **environment},
            process_group=0,
        )
        far.close()
        self._output = Output(self._process, self._idle_mark)

    def run(self, trial: TrialRecord) -> None:
        """Hand it a trial.

        Raises:
            OSError: It is dead.
        """
        self._output.turn_to(f"trial {trial.number}")
        self.send(payload_of(trial))
        self.trial = trial
        self.has_begun = False

    def done(self) -> TrialRecord:
        """Take note that its trial has ended, and return that trial."""
        trial, self.trial, self.deadline = self.trial, None, None
        assert trial is not None
        self._output.turn_to(self._idle_mark)
        return trial

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            OSError: It is dead.
        """
        self.line.send_bytes(dumps(message).encode())

    def receive(self) -> Message:
        """Return its next message.

        Raises:
            OSError, EOFError: It is dead.
        """
        message: Message = loads(self.line.recv_bytes())
        return message

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    # Its end.

    def hang_up(self) -> None:
        """Let it end in order: a trial in it is interrupted as by Ctrl-C.

        The line stays open, since it breaks when the process has ended.
        """
        if not self.line.closed:
            with suppress(OSError):  # it is dead
                self.line.send_bytes(GOODBYE)

    def end(self, patience: float = GRACE + 1) -> None:
        """Hang up, wait for its end, and kill what is left of it and of what it started."""
        self.hang_up()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(max(patience, 0))
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill it, and what it started, at once."""
        self.line.close()
        with suppress(ProcessLookupError, PermissionError):  # macOS says so of a dead group
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()

    def death(self) -> WorkerDiedError:
        """Return what became of a worker that has hung up or is gone; nothing of it is left."""
        self.end(patience=1.0)
        code = self._process.returncode
        if self.trial is not None:
            doing = f" while it ran trial {self.trial.number}"
        else:
            doing = "" if self.is_ready else " while it started"
        return WorkerDiedError(f"the worker process {_ended(code)}{doing}")

    def overdue(self, seconds: float) -> TrialTimeoutError:
        """End a worker whose trial takes too long; what it wrote last says where it was."""
        self._process.send_signal(SHOW_STACKS)
        time.sleep(_TIME_TO_SHOW)
        self.kill()
        return TrialTimeoutError(
            f"the trial was not done after {seconds:g} s (trial_timeout), and its worker process "
            "was killed"
        )

    def last_lines(self) -> str:
        """Return the last that it wrote for its trial, with a heading; ``""`` for nothing."""
        lines = self._output.last_lines()
        return f"The last that it wrote:\n{lines}" if lines else ""


def _ended(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    names = {int(known): known.name for known in signal.Signals}
    name = names.get(-code, f"signal {-code}")
    if -code == signal.SIGKILL:
        return f"was killed by {name}, as the system does when memory runs out,"
    return f"died of {name}"
