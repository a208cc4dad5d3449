"""Whatever becomes of a worker costs at most the trial in it; whatever ends the search ends all."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

import hpsearch
from hpsearch import SearchInterrupted
from hpsearch.errors import BackendError, SearchFailedError, TrialTimeoutError, WorkerDiedError
from hpsearch.pruners import Pruner
from hpsearch.storage.journal import load


def is_running(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition):
    """Wait for something to hold."""
    while not condition():
        time.sleep(0.01)


class Told:
    """Counts how often each trial was told."""

    def __init__(self):
        self.numbers = Counter()

    @hpsearch.hookimpl
    def hpsearch_tell(self, trial):
        self.numbers[trial.number] += 1


# One trial takes its worker down.


def kill(trial):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(trial):
    print("about to leave")
    os._exit(3)


def crash(trial):
    ctypes.string_at(0)


def terminate(trial):
    os.kill(os.getpid(), signal.SIGTERM)


def hang(trial):
    time.sleep(600)


DEATHS = {
    "killed": (
        kill,
        "was killed by SIGKILL, as the system does when memory runs out, while it ran",
    ),
    "exited": (leave, "exited with code 3 while it ran trial 2"),
    "crashed": (crash, "died of SIGSEGV while it ran trial 2"),
    "terminated": (terminate, "died of SIGTERM while it ran trial 2"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_worker_that_dies_fails_its_trial_and_the_search_goes_on(search, death):
    die, said = DEATHS[death]

    def objective(trial):
        if trial.number == 2:
            die(trial)
        time.sleep(0.01)
        return trial["x"]

    told = Told()
    study = search(objective, n_trials=8, max_failures=1, plugins=[told])
    assert [t.number for t in study.trials if t.state == "failed"] == [2]
    assert study.counts()["complete"] == 7
    error = study.trials[2].error
    assert error.type == "hpsearch.errors.WorkerDiedError"
    assert said in error.message
    assert set(told.numbers.values()) == {1}
    if death == "exited":
        assert "The last that it wrote:\nabout to leave" in error.traceback
    if death == "crashed":
        assert "in crash" in error.traceback


def test_memory_that_runs_out_fails_the_trial_alone(search):
    def objective(trial):
        trial.annotate("pid", os.getpid())
        if trial.number == 2:
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (2**30, hard))
            try:
                bytearray(2**31)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        return trial["x"]

    study = search(objective, max_failures=1)
    assert [trial.number for trial in study.trials if trial.state == "failed"] == [2]
    assert study.trials[2].error.type == "MemoryError"
    # An exception is no death: its worker goes on.
    assert len({trial.attrs["pid"] for trial in study.trials}) == 2


def test_a_trial_that_hangs_is_ended_at_its_time_and_says_where_it_was(search):
    def objective(trial):
        if trial.number == 1:
            hang(trial)
        return trial["x"]

    study = search(objective, trial_timeout=3.0, max_failures=1)
    assert [trial.number for trial in study.trials if trial.state == "failed"] == [1]
    error = study.trials[1].error
    assert error.type == "hpsearch.errors.TrialTimeoutError"
    assert "not done after 3 s (trial_timeout)" in error.message
    assert "in hang" in error.traceback


def test_the_time_of_a_trial_does_not_begin_before_its_worker_is_ready(search):
    class Slow:
        def __setstate__(self, state):
            time.sleep(3.5)

        def __reduce__(self):
            return Slow, (), {"a": 1}

        def __call__(self, trial):
            return 0.0

    study = search(Slow(), trial_timeout=3.0, isolate=True, n_trials=2, n_workers=1)
    assert study.counts()["complete"] == 2


def test_a_stopped_worker_is_ended_too(search):
    def objective(trial):
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        return trial["x"]

    study = search(objective, trial_timeout=3.0, max_failures=1)
    assert study.counts()["failed"] == 1


def test_deaths_and_timeouts_can_be_expected(search):
    def objective(trial):
        if trial.number < 2:
            (kill, hang)[trial.number](trial)
        return trial["x"]

    expected = (WorkerDiedError, TrialTimeoutError)
    study = search(objective, n_trials=4, trial_timeout=3.0, catch=expected, max_failures=0)
    assert study.counts()["failed"] == 2


def test_a_trial_whose_worker_died_is_retried_in_another(search, tmp_path):
    def objective(trial):
        mark = tmp_path / str(trial["x"])
        if not mark.exists():
            mark.touch()
            kill(trial)
        return trial["x"]

    study = search(objective, n_trials=3, retries=1)
    assert study.counts() == {"running": 0, "complete": 3, "pruned": 0, "failed": 3}
    for trial in study.trials:
        if trial.retry_of is not None:
            assert trial.params == study.trials[trial.retry_of].params


def test_every_trial_killing_its_worker_ends_the_search(search):
    with pytest.raises(SearchFailedError) as raised:
        search(kill, n_trials=1000, max_failures=3)
    assert 4 <= raised.value.study.counts()["failed"] <= 5


def test_a_worker_that_dies_while_idle_fails_no_trial(search):
    class KillsTheIdle:
        """Kills the worker of each trial that has ended, before another trial starts."""

        @hpsearch.hookimpl
        def hpsearch_tell(self, trial):
            pid = trial.attrs["pid"]
            os.kill(pid, signal.SIGKILL)
            until(lambda: not is_running(pid))

    def objective(trial):
        trial.annotate("pid", os.getpid())
        return trial["x"]

    study = search(objective, n_trials=6, n_workers=1, plugins=[KillsTheIdle()])
    assert study.counts()["complete"] == 6
    assert len({trial.attrs["pid"] for trial in study.trials}) == 6


def test_a_worker_that_dies_before_it_takes_up_its_trial_fails_no_trial(search):
    class KillsTheNext:
        """Stops the worker of each trial that has ended, and kills it when it has the next."""

        stopped = None

        @hpsearch.hookimpl
        def hpsearch_start(self, trial):
            if self.stopped is not None:  # The trial is handed over as soon as this returns.
                timers.append(threading.Timer(0.3, os.kill, (self.stopped, signal.SIGKILL)))
                timers[-1].start()

        @hpsearch.hookimpl
        def hpsearch_tell(self, trial):
            self.stopped = None
            if trial.number < 3:
                self.stopped = trial.attrs["pid"]
                os.kill(self.stopped, signal.SIGSTOP)

    def objective(trial):
        trial.annotate("pid", os.getpid())
        return trial["x"]

    timers = []
    study = search(objective, n_trials=4, n_workers=1, plugins=[KillsTheNext()])
    for timer in timers:
        timer.join()
    assert len(timers) == 3
    assert study.counts()["complete"] == 4
    assert len({trial.attrs["pid"] for trial in study.trials}) == 4


def test_a_worker_that_dies_as_it_starts_says_so(search):
    class Kills:
        def __reduce__(self):
            return kill, (None,)

        def __call__(self, trial):
            return 0.0

    with pytest.raises(WorkerDiedError, match="was killed by SIGKILL.* while it started"):
        search(Kills())


def test_what_a_trial_started_ends_with_its_worker(search):
    def objective(trial):
        child = subprocess.Popen(["sleep", "600"])
        trial.annotate("child", child.pid)
        if trial.number == 1:
            kill(trial)
        child.returncode = 0  # forgotten, without a warning
        return trial["x"]

    study = search(objective, n_trials=3, max_failures=1)
    children = [trial.attrs["child"] for trial in study.trials]
    assert len(children) == 3
    until(lambda: not any(map(is_running, children)))


def test_a_child_that_outlives_its_worker_does_not_hide_its_death(search, tmp_path):
    def objective(trial):
        if trial.number == 1:
            if os.fork() == 0:  # it holds the worker's end of the line
                os.setsid()
                (tmp_path / str(os.getpid())).touch()
                time.sleep(600)
                os._exit(0)
            until(lambda: list(tmp_path.iterdir()))
            os._exit(1)
        return trial["x"]

    study = search(objective, n_trials=4, n_workers=1, max_failures=1)
    (child,) = [int(path.name) for path in tmp_path.iterdir()]
    assert is_running(child)
    os.kill(child, signal.SIGKILL)
    assert "exited with code 1" in study.trials[1].error.message
    assert study.counts()["complete"] == 3


def test_workers_killed_at_random_lose_no_trial_and_none_is_told_twice(search, tmp_path):
    rng = random.Random(4)
    kills = []
    timers = []

    def objective(trial):
        (tmp_path / f"{os.getpid()}").touch()
        for step in range(10):
            trial.report(trial["x"], step)
            time.sleep(0.02)
        return trial["x"]

    def kill_one():
        pids = [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]
        running = [pid for pid in pids if is_running(pid)]
        if running:
            with suppress(ProcessLookupError):  # It has ended meanwhile.
                os.kill(rng.choice(running), signal.SIGKILL)
                kills.append(1)

    class Kills:
        """Has one of the workers killed a moment after every 25th report."""

        reports = 0

        @hpsearch.hookimpl
        def hpsearch_report(self, trial):
            self.reports += 1
            if self.reports % 25 == 0:
                timers.append(threading.Timer(rng.uniform(0, 0.1), kill_one))
                timers[-1].start()

    told = Told()
    try:
        study = search(
            objective,
            n_trials=12,
            retries=50,
            plugins=[told, Kills()],
            storage=tmp_path / "study.db",
        )
    finally:
        for timer in timers:
            timer.join()
    assert len(kills) >= 2
    assert study.counts()["complete"] == 12
    assert study.counts()["failed"] <= len(kills)
    assert {trial.error.type for trial in study.trials if trial.error} <= {
        "hpsearch.errors.WorkerDiedError"
    }
    assert told.numbers == dict.fromkeys(range(len(study.trials)), 1)
    kept = load(tmp_path / "study.db")
    assert [(t.number, t.state) for t in kept.trials] == [(t.number, t.state) for t in study.trials]
    first_tries = [trial["x"] for trial in study.trials if trial.retry_of is None]
    assert len(first_tries) == len(set(first_tries)) == 12


# Something ends the search.

SEARCH = """
import os, subprocess, sys, time
from pathlib import Path
import hpsearch

folder = Path(sys.argv[1])

def objective(trial):
    if trial.number > 1:
        child = subprocess.Popen(["sleep", "600"])
        try:
            (folder / f"{os.getpid()} {child.pid}").touch()
            time.sleep(600)
        finally:
            (folder / f"cleaned up {os.getpid()}").touch()
    return trial["x"]

hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", n_trials=9, seed=1, n_workers=2,
    executor="process", storage=folder / "study.db", progress=False,
)
"""


@pytest.fixture
def interrupted(programs, tmp_path):
    """Send a signal to a search with two trials running; return its end, when all has ended."""

    def pids():
        names = [path.name.split() for path in tmp_path.iterdir()]
        return [int(pid) for name in names if all(map(str.isdigit, name)) for pid in name]

    def interrupted(number, program=SEARCH):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        search = programs.start(sys.executable, "-c", program, tmp_path, **pipes)
        until(lambda: len(pids()) == 4 or search.poll() is not None)
        # As a terminal does it: the search's whole group. Its workers have groups of their own.
        os.killpg(search.pid, number)
        _, errors = search.communicate()
        until(lambda: not any(map(is_running, pids())))
        return search.returncode, errors

    return interrupted


@pytest.mark.parametrize(
    ("number", "code", "cause"),
    [
        (signal.SIGINT, 1, "KeyboardInterrupt"),
        (signal.SIGTERM, 128 + signal.SIGTERM, "hpsearch.errors.SearchTerminated"),
    ],
)
def test_an_interrupted_search_ends_in_order_and_leaves_no_process(
    interrupted, tmp_path, number, code, cause
):
    returned, errors = interrupted(number)
    assert returned == code, errors
    assert "[worker" not in errors
    assert len(list(tmp_path.glob("cleaned up *"))) == 2
    study = load(tmp_path / "study.db")
    assert [trial.state for trial in study.trials] == ["complete"] * 2 + ["failed"] * 2
    for trial in study.trials[2:]:
        assert trial.error.type == "Interrupted"
        assert trial.error.message.startswith(cause)
    study = hpsearch.search(
        lambda trial: trial["x"],
        {"x": hpsearch.Float(0, 1)},
        backend="random",
        n_trials=9,
        storage=tmp_path / "study.db",
        resume=True,
        progress=False,
    )
    assert study.counts()["complete"] == len(study.trials) == 9


def test_a_search_that_is_killed_takes_its_workers_with_it(interrupted, tmp_path):
    returned, _ = interrupted(signal.SIGKILL)
    assert returned == -signal.SIGKILL
    assert len(list(tmp_path.glob("cleaned up *"))) == 2
    assert [trial.state for trial in load(tmp_path / "study.db").trials[2:]] == ["running"] * 2


def test_a_trial_that_ignores_the_end_of_a_killed_search_is_killed(interrupted, tmp_path):
    stubborn = SEARCH.replace(
        "time.sleep(600)\n",
        """while True:
                try:
                    time.sleep(600)
                except KeyboardInterrupt:
                    (folder / f"stubborn {os.getpid()}").touch()
""",
    )
    interrupted(signal.SIGKILL, stubborn)
    assert len(list(tmp_path.glob("stubborn *"))) == 2


def test_a_trial_that_ignores_the_interrupt_is_killed(search, tmp_path):
    def objective(trial):
        (tmp_path / str(os.getpid())).touch()
        while True:
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                (tmp_path / "stubborn").touch()

    over = threading.Event()

    def interrupt():
        until(lambda: over.wait(0) or len(list(tmp_path.iterdir())) == 2)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(SearchInterrupted):
            search(objective)
    finally:
        over.set()
        thread.join()
    assert (tmp_path / "stubborn").exists()
    pids = [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]
    assert not any(map(is_running, pids))


def test_a_broken_backend_ends_the_trials_that_run(search, tmp_path):
    class Broken(Pruner):
        def should_prune(self, trial, step, cost):
            raise RuntimeError("broken")

    def objective(trial):
        (tmp_path / str(os.getpid())).touch()
        if trial.number == 1:
            until(lambda: len(list(tmp_path.iterdir())) == 2)
            trial.report(0.0, 0)
        time.sleep(600)

    with pytest.raises(BackendError, match="broken"):
        search(objective, pruner=Broken())
    assert not any(is_running(int(path.name)) for path in tmp_path.iterdir())
