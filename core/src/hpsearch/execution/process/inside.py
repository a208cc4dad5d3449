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
from contextlib import suppress
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from hpsearch.errors import HpsearchError
from hpsearch.execution.forks import run_in_this_process
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

_STREAMS: Final = {"stdout": 1, "stderr": 2}
"""The standard streams that a worker writes, and their descriptors."""


class Line:
    """The worker's end of the line to its search; JSON text goes both ways.

    Any thread of the trial may use it, also a signal handler. One thread reads, and hands each
    reply to whoever waits for it; another one writes, so that nothing can cut a message in two.

    When the search hangs up, or its process is gone, the main thread is interrupted as by Ctrl-C,
    and so is each thread that waits for a reply. A worker that has not ended soon after is killed.
    What it started and left is killed in any case: by the search, or by the worker itself where no
    goodbye came before the line was cut.
    """

    def __init__(self, connection: Connection) -> None:
        self.is_cut = False
        self._connection = connection
        self._process = os.getpid()
        self._was_let_go = False
        self._requests = count()
        self._waiting: dict[int, SimpleQueue[Message | None]] = {}
        self._arrived: SimpleQueue[Message] = SimpleQueue()
        self._unsent: SimpleQueue[tuple[bytes, SimpleQueue[None]]] = SimpleQueue()

    def open(self) -> None:
        """Begin to receive and to send."""
        atexit.register(self._clear_up)
        for run in (self._read, self._write):
            threading.Thread(target=run, name="hpsearch line", daemon=True).start()

    def receive(self) -> Message:
        """Return the next message that is not a reply."""
        return self._arrived.get()

    def send(self, message: Message) -> None:
        """Send a message, and return when it is on its way, whatever happens here next.

        Raises:
            HpsearchError: This is a process that was forked from the worker's.
        """
        self._submit(message).get()

    def _submit(self, message: Message) -> SimpleQueue[None]:
        """Have a message sent; return what gets an item once it is."""
        if os.getpid() != self._process:
            raise HpsearchError(
                f"process {os.getpid()} was forked from the worker process {self._process}, and "
                "cannot talk to the study"
            )
        sent: SimpleQueue[None] = SimpleQueue()
        self._unsent.put((dumps(message).encode(), sent))
        return sent

    def ask(self, message: Message) -> Message:
        """Send a running trial's request and return the reply.

        Raises:
            KeyboardInterrupt: The search has hung up.
        """
        # Numbered again: a late request of an earlier trial may have the same number.
        number = next(self._requests)
        reply: SimpleQueue[Message | None] = SimpleQueue()
        self._waiting[number] = reply
        try:
            self._submit({**message, "request": number})
            arrived = None if self.is_cut else reply.get()
        finally:
            del self._waiting[number]
        if arrived is None:
            raise KeyboardInterrupt("the search has hung up")
        return {**arrived, "request": message["request"]}

    def _read(self) -> None:
        try:
            while (text := self._connection.recv_bytes()) != GOODBYE:
                message: Message = loads(text)
                if "request" not in message:
                    self._arrived.put(message)
                elif (waiting := self._waiting.get(message["request"])) is not None:
                    waiting.put(message)
            self._was_let_go = True
        except (EOFError, OSError):
            self._was_let_go = False
        self.is_cut = True
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGINT)
        for waiting in list(self._waiting.values()):
            waiting.put(None)
        time.sleep(GRACE)
        os.killpg(0, signal.SIGKILL)

    def _write(self) -> None:
        with suppress(OSError):  # the search is gone, which the other thread notices
            while True:
                text, sent = self._unsent.get()
                self._connection.send_bytes(text)
                sent.put(None)

    def _clear_up(self) -> None:
        if self.is_cut and not self._was_let_go:
            os.killpg(0, signal.SIGKILL)


class Streams:
    """The worker's standard streams, which each trial gets as they were at its start."""

    def __init__(self) -> None:
        self._kept = {name: os.dup(number) for name, number in _STREAMS.items()}
        for name in _STREAMS:
            self._renew(name)
        self.keep()

    def keep(self) -> None:
        """Take note of what the streams are now."""
        self._before: dict[str, Any] = {name: getattr(sys, name) for name in _STREAMS}

    def restore(self) -> None:
        """Show what was written, and put back what a trial closed or replaced."""
        for name, number in _STREAMS.items():
            os.dup2(self._kept[name], number)
            stream = self._before[name]
            for each in {id(each): each for each in (getattr(sys, name), stream)}.values():
                # A trial may have left anything there, which its search need not know of.
                with suppress(Exception):
                    each.flush()
            if getattr(stream, "closed", False):
                self._renew(name)
            else:
                setattr(sys, name, stream)

    def _renew(self, name: str) -> None:
        stream = open(  # noqa: SIM115 - it lasts as long as the process
            _STREAMS[name],
            "w",
            buffering=1,
            encoding="utf-8",
            errors="backslashreplace",
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def main() -> None:
    """Run trials. The command line has: the path to import from, the settings, the user's own."""
    settings = json.loads(sys.argv[2])
    sys.argv[:] = sys.argv[3:]
    # A shell has the background jobs of a script ignore it, and their children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    streams = Streams()
    faulthandler.enable(file=2)
    faulthandler.register(SHOW_STACKS, file=2)
    line = Line(Connection(settings["line"]))
    try:
        line.open()
        _work(line, streams, settings)
    except KeyboardInterrupt:
        if not line.is_cut:
            raise


def _work(line: Line, streams: Streams, settings: dict[str, Any]) -> None:
    wanted = settings["devices_per_trial"]
    leased = devices.lease(settings["devices"], wanted) if wanted else []
    try:
        evaluate = _unpacked(settings["packed"])
    except Exception as error:
        line.send({"refused": error_to_dict(TrialError.of(error))})
        line.receive()  # nothing more comes: it lasts until the search hangs up
        raise
    line.send({"ready": leased and os.environ[devices.VISIBLE]})
    connect = partial(MessageChannel, send=line.ask)
    while True:
        payload = line.receive()
        streams.keep()
        line.send({"began": payload["number"]})
        outcome = run_in_this_process(evaluate, payload, connect)
        streams.restore()
        line.send({"outcome": outcome_to_dict(outcome), "trial": payload["number"]})


def _unpacked(file: int) -> Evaluate:
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as packed:
        evaluate: Evaluate = pickle.loads(packed)  # noqa: S301 - the search wrote it just now
    os.close(file)
    return evaluate
