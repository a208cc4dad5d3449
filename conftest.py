"""For every test of the repository."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("no test asserts a time", deadline=None)
    settings.load_profile("no test asserts a time")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run in several processes: a file in one, and in one all that start Ray.

    Ray takes the whole machine for itself, and a second one beside it finds no CPU left. Marks
    cannot say so: with pytest 9.2, those of pytest-xdist 3.8 have no effect.
    """
    from xdist.scheduler import LoadScopeScheduling

    class OneRay(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            named = "ray" in re.split(r"[\W_]", nodeid)
            return "ray" if named or _uses_ray(config.rootpath / file) else file

    return OneRay(config, log)


@lru_cache
def _uses_ray(file: Path) -> bool:
    return "ray_running" in file.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def ray_running() -> Iterator[None]:
    """Ray with two CPUs: one for all tests, since starting it takes seconds."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        ray.init(address="local", num_cpus=2, include_dashboard=False, **quiet)
        yield
        ray.shutdown()


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_works() -> Iterator[None]:
    """Let Ctrl-C interrupt: a shell has background jobs ignore it, and the tests send it."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)
