"""One process runs a study at a time: a lock next to the journal, one for each study."""

from __future__ import annotations

import os
import platform
import sys
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hpsearch.errors import JournalError, StudyLockedError
from hpsearch.storage import schema

PATIENCE = 10.0
"""Seconds to wait for the children of a dead process to let go of its study."""


def this_process() -> dict[str, Any]:
    """Return what a study's row says of the process that runs it, as JSON."""
    return {"pid": os.getpid(), "host": platform.node()}


class StudyLock:
    """The right to run one study. The operating system takes it back when the process dies.

    Args:
        path: The journal.
        name: The study; others in the same journal may run at the same time.
    """

    def __init__(self, path: Path, name: str) -> None:
        from filelock import FileLock

        self._path = path
        self._name = name
        suffix = blake2b(name.encode(), digest_size=8).hexdigest()
        self._lock = FileLock(f"{path}.{suffix}.lock", thread_local=False)
        self._was_there = Path(self._lock.lock_file).exists()

    def acquire(self) -> None:
        """Take the lock, at once or not at all.

        Only where the process that held it is gone is it waited for: children that it forked may
        outlive it for a moment, and hold the lock with it.

        Raises:
            StudyLockedError: Another process runs the study.
        """
        from filelock import Timeout

        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                owner = self._owner()
                # Without an owner, somebody has just taken the lock and not yet signed for it.
                if (owner and _may_run(owner)) or time.monotonic() > deadline:
                    raise StudyLockedError(
                        f"study {self._name!r} in {self._path} is being run by {_shown(owner)}; "
                        "wait for it, stop it, or give another name="
                    ) from None
                time.sleep(0.05)
            else:
                return

    def release(self, *, discard: bool = False) -> None:
        """Let go of the study, if it is held.

        Args:
            discard: Delete the lock's file as well, if it is new: the study was never opened.
                Whoever waits for the lock notices, and makes a new file.
        """
        if discard and self._lock.is_locked and not self._was_there:
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def _owner(self) -> dict[str, Any] | None:
        try:
            with schema.reading(self._path) as connection:
                row = schema.find_study(connection, self._name)
        except (
            JournalError,
            TypeError,
            ValueError,
        ):  # whoever holds the lock is still creating the file
            return None
        owner: dict[str, Any] | None = None if row is None else schema.read_owner(dict(row))
        return owner


def _may_run(owner: dict[str, Any]) -> bool:
    """Whether a process is there; one on another machine, or on Windows, cannot be asked."""
    if owner["host"] != platform.node() or sys.platform == "win32":
        return True
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and somebody else's
        return True
    return True


def _shown(owner: dict[str, Any] | None) -> str:
    if owner is None:
        return "another process"
    if owner == this_process():
        return "this process"
    if owner["host"] != platform.node():
        return f"process {owner['pid']} on {owner['host']}"
    return f"process {owner['pid']}" if _may_run(owner) else f"a child of process {owner['pid']}"
