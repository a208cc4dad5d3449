"""What runs inside a worker process: trials, one after another, until the search hangs up."""

from __future__ import annotations

import atexit
import faulthandler
import json
import mmap
import os
import pickle
import signal
import sys
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from hpsearch.execution.messages import Message, MessageChannel
from hpsearch.execution.process import devices
from hpsearch.study.outcome import TrialError
from hpsearch.study.serial import dumps, error_to_dict, loads, outcome_to_dict

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate

GRACE = 5.0
"""Seconds that a worker, and the trial in it, has to end in order once the search hangs up."""

GOODBYE = b""
"""The last message of a search that hangs up in order."""

SHOW_STACKS = signal.SIGUSR1
"""On this signal a worker writes where each of its threads is."""


class Line:
    """The worker's end of the line to its search; JSON text goes both ways.

    When the search hangs up, or its process is gone, the main thread is interrupted as by Ctrl-C.
    A worker that has not ended soon after is killed. What it started and left is killed in any
    case: by the search, or by the worker itself where no goodbye came before the line was cut.
    """

    def __init__(self, connection: Connection) -> None:
        self.is_cut = False
        self._connection = connection
        self._was_let_go = False
        self._arrived: SimpleQueue[bytes] = SimpleQueue()

    def listen(self) -> None:
        """Begin to receive."""
        atexit.register(self._clear_up)
        threading.Thread(target=self._listen, name="hpsearch line", daemon=True).start()

    def receive(self) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = loads(self._arrived.get())
        return message

    def send(self, message: Message) -> None:
        """Send a message."""
        self._connection.send_bytes(dumps(message).encode())

    def ask(self, message: Message) -> Message:
        """Send a running trial's request and return the reply."""
        self.send(message)
        return self.receive()

    def _listen(self) -> None:
        try:
            while (message := self._connection.recv_bytes()) != GOODBYE:
                self._arrived.put(message)
            self._was_let_go = True
        except (EOFError, OSError):
            self._was_let_go = False
        self.is_cut = True
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGINT)
        time.sleep(GRACE)
        os.killpg(0, signal.SIGKILL)

    def _clear_up(self) -> None:
        if self.is_cut and not self._was_let_go:
            os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run trials. The command line has: the path to import from, the settings, the user's own."""
    settings = json.loads(sys.argv[2])
    sys.argv[:] = sys.argv[3:]
    # A shell has the background jobs of a script ignore it, and their children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.enable()
    faulthandler.register(SHOW_STACKS)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(  # type: ignore[union-attr]
            encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
    line = Line(Connection(settings["line"]))
    try:
        line.listen()
        _work(line, settings)
    except KeyboardInterrupt:
        if not line.is_cut:
            raise


def _work(line: Line, settings: dict[str, Any]) -> None:
    count = settings["devices_per_trial"]
    leased = devices.lease(settings["devices"], count) if count else []
    try:
        evaluate = _unpacked(settings["packed"])
    except Exception as error:
        line.send({"refused": error_to_dict(TrialError.of(error))})
        line.receive()  # nothing more comes: it lasts until the search hangs up
        raise
    line.send({"ready": leased and os.environ[devices.VISIBLE]})
    while True:
        payload = line.receive()
        line.send({"began": payload["number"]})
        outcome = outcome_to_dict(evaluate(payload, partial(MessageChannel, send=line.ask)))
        sys.stdout.flush()
        sys.stderr.flush()
        line.send({"outcome": outcome})


def _unpacked(file: int) -> Evaluate:
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as packed:
        evaluate: Evaluate = pickle.loads(packed)  # noqa: S301 - the search wrote it just now
    os.close(file)
    return evaluate
