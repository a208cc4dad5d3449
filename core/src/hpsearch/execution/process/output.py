"""What a worker writes, shown here line by line, each with the mark of its trial."""

from __future__ import annotations

import os
import re
import selectors
import sys
import threading
from collections import deque
from contextlib import suppress
from subprocess import Popen
from typing import IO

from tqdm import tqdm

KEPT_LINES = 40
"""How many lines of a trial are kept for the error, in case its worker dies."""

_LONGEST = 65_536
"""Bytes after which a line is shown though it has not ended."""

_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-HJKSTfhl]")
"""What progress bars move the cursor with; colours are left alone."""


class Output:
    """Shows both streams of a process as its own standard output and error would be.

    A line that a progress bar has drawn over many times is shown once, as it was at its end.

    Args:
        process: Its streams are unbuffered pipes.
        mark: Stands before each line.
    """

    def __init__(self, process: Popen[bytes], mark: str) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._streams = {process.stdout: "stdout", process.stderr: "stderr"}
        self._begun = dict.fromkeys(self._streams, b"")
        self._mark = mark
        self._last: deque[str] = deque(maxlen=KEPT_LINES)
        self._lock = threading.Lock()
        for stream in self._streams:
            os.set_blocking(stream.fileno(), False)
        # A worker must never wait for somebody to look, whatever the search is busy with.
        self._thread = threading.Thread(target=self._follow, name=f"output of {mark}", daemon=True)
        self._thread.start()

    def turn_to(self, mark: str) -> None:
        """Show what was written so far, then mark what follows otherwise."""
        self.settle()
        with self._lock:
            self._mark = mark
            self._last.clear()

    def settle(self) -> None:
        """Show what was written so far, a line that has not ended as well."""
        for stream in self._streams:
            self._read(stream)
            with self._lock:
                self._end_line(stream)

    def close(self) -> None:
        """Show the rest, once the process has ended."""
        # What it started may have left its group, and hold the streams open for as long as it runs.
        self._thread.join(timeout=1.0)
        self.settle()

    def last_lines(self) -> str:
        """Return the last lines since the mark changed."""
        with self._lock:
            return "\n".join(self._last)

    def _follow(self) -> None:
        with selectors.DefaultSelector() as selector:
            for stream in self._streams:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    readable: IO[bytes] = key.fileobj  # type: ignore[assignment]
                    if not self._read(readable):
                        selector.unregister(readable)
        self.settle()
        with self._lock:
            for stream in self._streams:
                stream.close()

    def _read(self, stream: IO[bytes]) -> bool:
        """Take what can be read without waiting; return whether more may come."""
        with self._lock:
            if stream.closed:
                return False
            # None: nothing now. Empty: the process, and whatever it started, has closed it.
            while data := stream.read(_LONGEST):
                self._take(stream, data)
            return data is None

    def _take(self, stream: IO[bytes], data: bytes) -> None:
        *lines, rest = (self._begun[stream] + data).split(b"\n")
        for line in lines:
            self._show(stream, line)
        kept = rest.rstrip(b"\r")
        self._begun[stream] = rest[kept.rfind(b"\r") + 1 :]
        if len(self._begun[stream]) > _LONGEST:
            self._end_line(stream)

    def _end_line(self, stream: IO[bytes]) -> None:
        if self._begun[stream]:
            self._show(stream, self._begun[stream])
            self._begun[stream] = b""

    def _show(self, stream: IO[bytes], line: bytes) -> None:
        written = line.decode(errors="replace").rstrip("\r")
        text = _MOVES.sub("", written.rpartition("\r")[2])
        if written and not text.strip():
            return  # a bar that cleared its line
        self._last.append(text)
        # A standard stream may be missing or closed; the worker must be read nevertheless.
        with suppress(OSError, ValueError, AttributeError):
            tqdm.write(f"[{self._mark}] {text}\n", getattr(sys, self._streams[stream]), end="")
