"""What the tests of Ray share."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Ray kills its workers where the machine's memory runs short, whoever uses it.
os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # noqa: SIM112
# Ray Train starts a group again, time after time, whose workers are not all there in a minute.
os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = "600"
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def results(tmp_path: Path, ray_running: None) -> Path:
    """Where Ray, which is running, keeps the files of a test's searches."""
    return tmp_path / "ray"


@pytest.fixture
def ctrl_c_once() -> Callable[[Path], AbstractContextManager[None]]:
    """A context in which Ctrl-C comes as soon as a file is there."""

    @contextmanager
    def waiting_for(file: Path) -> Iterator[None]:
        over = threading.Event()

        def interrupt() -> None:
            while not over.wait(0.05):
                if file.exists():
                    os.kill(os.getpid(), signal.SIGINT)
                    return

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    return waiting_for
