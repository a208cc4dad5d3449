"""Searches in worker processes, and that none of them stays behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import cloudpickle
import pytest

import hpsearch
from hpsearch import Float

if sys.platform == "win32":
    pytest.skip("worker processes need a POSIX system", allow_module_level=True)


def children():
    """Return the processes that this one has started and that still run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.add(int(stat.parent.name))
    return found


@pytest.fixture(autouse=True)
def _a_module_of_tests_travels(request):
    """Workers cannot import a test file, so its functions travel by value, as a script's do."""
    cloudpickle.register_pickle_by_value(request.module)
    yield
    cloudpickle.unregister_pickle_by_value(request.module)


@pytest.fixture(autouse=True)
def _no_process_stays_behind():
    before = children()
    yield
    left = children() - before
    for pid in left:
        os.kill(pid, signal.SIGKILL)  # and the next test begins without it
    assert not left


@pytest.fixture
def search():
    """Search ``x`` in worker processes."""

    def run(objective, space=None, **options):
        options = {"n_workers": 2, "n_trials": 6, "seed": 1, **options}
        return hpsearch.search(
            objective,
            {"x": Float(0, 1)} if space is None else space,
            executor="process",
            progress=False,
            **{"backend": "random", **options},
        )

    return run
