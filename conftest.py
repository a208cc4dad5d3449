"""For every test of the repository."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

if find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("no test asserts a time", untimed)
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
        # Ray kills its workers where the machine's memory runs short, whoever uses it.
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")
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


class Programs:
    """Programs that a test starts. However the test ends, they end with it.

    None has a deadline of its own: how long one takes depends on what else the machine does. A test
    that hangs is ended by pytest-timeout, and its programs with it.
    """

    def __init__(self) -> None:
        self._mark = f"hpsearch-test-{uuid4()}"
        self._started: list[subprocess.Popen[Any]] = []

    def start(self, *command: object, **options: Any) -> subprocess.Popen[Any]:
        """Start a program in a process group of its own.

        Args:
            command: The program and its arguments.
            options: Of :class:`subprocess.Popen`. Pipes carry text unless ``text=False``.
        """
        options = {"text": True, "process_group": 0, **options}
        options["env"] = {**(options.get("env") or os.environ), "HPSEARCH_TEST": self._mark}
        process = subprocess.Popen([str(part) for part in command], **options)  # noqa: S603
        self._started.append(process)
        return process

    def run(self, *command: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, with ``input`` if it is given; return what it wrote."""
        given = options.pop("input", "")
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = self.start(*command, **pipes, **options)
        output, errors = process.communicate(given)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def close(self) -> None:
        """Kill what still runs, also what the programs have started, and close all pipes."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
        while self._kill_marked():
            time.sleep(0.01)
        for process in self._started:
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()

    def _kill_marked(self) -> bool:
        """Kill every process that has inherited the mark; say whether there was any.

        Launchers start their workers in process groups of their own, and a worker may outlive its
        launcher. Only the environment tells whose they are, and only Linux shows it.
        """
        found = False
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # it is another user's, or has ended
                if self._mark.encode() in environment.read_bytes():
                    os.kill(int(environment.parent.name), signal.SIGKILL)
                    found = True
        return found


def _programs() -> Iterator[Programs]:
    programs = Programs()
    yield programs
    programs.close()


programs = pytest.fixture(_programs)
module_programs = pytest.fixture(_programs, scope="module")
