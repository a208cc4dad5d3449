"""For every test of the repository."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

if find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("no test asserts a time", deadline=None)
    settings.load_profile("no test asserts a time")


@pytest.hookimpl(tryfirst=True)  # before the processes share the tests out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where tests run in several processes: a file in one, and in one all that start Ray.

    Ray takes the whole machine for itself, and a second one beside it finds no CPU left.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        ray = "ray" in re.split(r"[\W_]", item.nodeid) or "ray_running" in fixtures
        item.add_marker(pytest.mark.xdist_group("ray" if ray else str(item.path)))


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
