"""The bound: a rank that another one's failure left waiting for ever is ended."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass

from hpsearch.errors import RankError
from hpsearch.transformers.ranks.store import KeyValueStore

logger = logging.getLogger("hpsearch")

_INTERVAL = 0.2  # seconds between two looks into the store
_GRACE = 2.0  # seconds, at most: how much earlier than a stuck rank one that still can ends


@dataclass(slots=True)
class _Turn:
    """A trial that this rank has not yet ended together with the others."""

    number: int
    cause: str | None = None
    noticed: float = 0.0


class Watch:
    """Sees to it that after a failure on any rank all are together again, or ended, in time.

    A rank may sit in a collective that the failed rank will never join, deep in native code where
    no exception reaches it. So a thread of its own watches, and ends the process.

    Args:
        store: The key-value store of the search.
        bound: Seconds from a failure until all ranks are together again.
    """

    def __init__(self, store: KeyValueStore, bound: float) -> None:
        self._store = store.another()
        self._bound = bound
        self._turn: _Turn | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hpsearch ranks", daemon=True)
        self._thread.start()

    def begin(self, turn: int) -> None:
        """Watch a trial."""
        self._turn = _Turn(turn)

    def end(self) -> None:
        """Watch no more: all ranks have ended the trial."""
        self._turn = None

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def check(self) -> None:
        """Raise :class:`RankError` where the other ranks have been waited for long enough."""
        turn = self._turn
        if turn is not None and self._overdue(turn, self._bound - min(_GRACE, self._bound / 10)):
            self._turn = None
            # The launcher may end this process before it could show the error itself.
            logger.critical("%s", self._message(turn))
            raise RankError(self._message(turn))

    def _run(self) -> None:
        while not self._closed.wait(_INTERVAL):
            turn = self._turn
            if turn is None:
                continue
            if turn.cause is None:
                turn.noticed = time.monotonic()
                turn.cause = self._cause(turn)
            elif self._overdue(turn, self._bound) and turn is self._turn:
                logger.critical("%s; it is here:\n%s", self._message(turn), _where())
                os._exit(1)

    def _cause(self, turn: _Turn) -> str | None:
        try:
            broken = self._store.peek(f"{turn.number}/broken")
            ended = self._store.rank and self._store.peek("end")
        except RankError as error:
            return str(error)
        if broken is not None:
            return str(broken["cause"])
        return "rank 0 has ended the search" if ended else None

    def _overdue(self, turn: _Turn, seconds: float) -> bool:
        return turn.cause is not None and time.monotonic() - turn.noticed > seconds

    def _message(self, turn: _Turn) -> str:
        return (
            f"{turn.cause}. The ranks could not go on together within rank_timeout="
            f"{self._bound:g} s, so rank {self._store.rank} ends; with a journal, resume=True "
            "continues the search"
        )


def _where() -> str:
    """Return where the main thread is."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return "".join(traceback.format_stack(frame)).rstrip()
