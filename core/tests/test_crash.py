"""Nothing is lost: processes that die of SIGKILL in the middle of a search, and what is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.storage.journal import load

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")

# Writes what it was told to a file of its own, in one write that a kill cannot split, before it
# goes on: the truth to hold the journal against.
SEARCH = """
import os, sys, time, hpsearch
path, log, total = sys.argv[1:]
log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

class Told:
    @hpsearch.hookimpl
    def hpsearch_tell(self, trial):
        os.write(log, f"{trial.number} {trial['x']!r}\\n".encode())
        os.fsync(log)

def objective(trial):
    for step in range(3):
        trial.report(trial["x"] + step, step)
        time.sleep(0.0005)
    return trial["x"]

hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", n_trials=int(total), seed=1,
    storage=path, resume=True, enqueue=[{"x": 0.5}, {"x": 0.25}], plugins=[Told()],
    progress=False,
)
"""


@pytest.fixture
def start(programs):
    """Start a program of Python's."""

    def start(program, *arguments):
        return programs.start(sys.executable, "-c", program, *arguments, stderr=subprocess.PIPE)

    return start


def told_in(log):
    """Return the parameter of each told trial by number, and that no trial was told twice."""
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    told = {int(number): float(x) for number, x in lines}
    assert len(told) == len(lines)
    return told


def test_killed_20_times_at_any_moment_a_study_has_every_told_trial_once_and_its_total(
    start, tmp_path
):
    path, log = tmp_path / "study.db", tmp_path / "told.txt"
    rng = random.Random(20)
    for kill in range(20):
        process = start(SEARCH, path, log, 1_000_000)
        if kill % 2:
            before = len(told_in(log))
            while len(told_in(log)) == before:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.03))
        else:  # perhaps while it starts: where the file is created, locked and taken over
            time.sleep(rng.uniform(0.05, 0.25))
        process.kill()
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
        told = told_in(log)
        kept = {trial.number: trial for trial in load(path).trials} if told else {}
        assert {number: kept[number]["x"] for number in told} == told
        assert {kept[number].state for number in told} <= {"complete"}

    total = len(kept) + 20
    process = start(SEARCH, path, log, total)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    study = load(path)
    assert [trial.number for trial in study.trials] == list(range(total))
    assert study.counts()["complete"] == total
    assert {len(trial.intermediate) for trial in study.trials} == {3}
    # A kill may come after a trial is in the file and before its observers are told.
    assert total - 20 <= len(told_in(log)) <= total
    uninterrupted = hpsearch.search(
        lambda trial: trial["x"],
        {"x": Float(0, 1)},
        backend="random",
        n_trials=total,
        seed=1,
        enqueue=[{"x": 0.5}, {"x": 0.25}],
        progress=False,
    )
    assert [t["x"] for t in study.trials] == [t["x"] for t in uninterrupted.trials]


def test_a_trial_that_took_its_process_down_three_times_has_failed(start, tmp_path):
    program = """
import os, signal, sys, hpsearch
def objective(trial):
    if trial.number in (1, 2):
        os.kill(os.getpid(), signal.SIGKILL)
    return trial["x"]
hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", n_trials=5, storage=sys.argv[1],
    resume=True, progress=False,
)
"""
    path = tmp_path / "study.db"
    for _ in range(6):
        process = start(program, path)
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
    process = start(program, path)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    said = "the process died while this trial ran, 3 times"
    assert f"trial 2 failed: ProcessDied: {said}" in errors
    study = load(path)
    assert [t.state for t in study.trials] == [
        "complete",
        "failed",
        "failed",
        "complete",
        "complete",
    ]
    assert study.trials[1].error.message == said
    assert study.trials[1].ended is None
    assert study.trials[1].params


def test_a_lock_dies_with_its_process(start, tmp_path):
    program = """
import os, signal, sys, hpsearch
hpsearch.search(
    lambda trial: os.kill(os.getpid(), signal.SIGKILL), {"x": hpsearch.Float(0, 1)},
    backend="random", n_trials=1, storage=sys.argv[1], progress=False,
)
"""
    path = tmp_path / "study.db"
    process = start(program, path)
    process.communicate()
    assert load(path).trials[0].state == "running"
    study = hpsearch.search(
        lambda trial: os.getpid() * trial["x"],
        {"x": Float(0, 1)},
        backend="random",
        n_trials=1,
        storage=path,
        resume=True,
        progress=False,
    )
    assert study.counts()["complete"] == 1
