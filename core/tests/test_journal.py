"""The journal: what it keeps, who may open it, and what it is not."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import hpsearch
from hpsearch import (
    Categorical,
    Float,
    Int,
    Space,
    Study,
    TrialState,
    hookimpl,
)
from hpsearch.errors import ArgumentError, BackendError, JournalError, StudyLockedError
from hpsearch.execution.executor import Executor
from hpsearch.plugins.hooks import Hooks, Role
from hpsearch.session.coordinator import Coordinator
from hpsearch.session.failures import FailurePolicy
from hpsearch.storage import lock as study_lock
from hpsearch.storage.journal import Durable, Journal, load, names
from hpsearch.storage.schema import SCHEMA_VERSION, encode
from hpsearch.study.outcome import Outcome
from hpsearch.study.serial import loads

SPACE = {"x": Float(0, 1), "n": Int(1, 5), "c": Categorical(["a", None, 1, 2.5, False])}


def square(trial):
    return trial["x"] ** 2


def search(objective=square, space=SPACE, **options):
    defaults: dict[str, Any] = {"backend": "random", "n_trials": 5, "seed": 1, "progress": False}
    return hpsearch.search(objective, space, **{**defaults, **options})


def story(trial):
    """Return all there is to know of a trial."""
    return {
        "number": trial.number,
        "id": trial.id,
        "state": trial.state,
        "params": dict(trial.params),
        "derived": dict(trial.derived),
        "fixed": dict(trial.fixed),
        "distributions": trial.distributions,
        "objectives": trial.objectives,
        "intermediate": trial.intermediate,
        "attrs": trial.attrs,
        "error": trial.error,
        "retry_of": trial.retry_of,
        "started": trial.started,
        "ended": trial.ended,
        "seed": trial.seed,
    }


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


# What is kept.


def test_a_loaded_study_has_everything_that_the_search_had(path):
    def objective(trial):
        trial.annotate("checkpoint", {"path": "run-1", "sizes": [1, 2]})
        trial.report(trial["x"], 1)
        trial.report(math.nan, 4)
        if trial["n"] == 2:
            raise hpsearch.TrialPruned
        if trial["n"] == 3:
            raise ValueError(f"no {trial['x']}")
        return trial["x"]

    study = search(
        objective,
        n_trials=30,
        storage=path,
        catch=ValueError,
        retries=1,
        enqueue=[{"x": 0.5, "n": 3, "c": None}],
        direction="maximize",
        name="all",
    )
    again = load(path)
    assert {"complete", "pruned", "failed"} <= {trial.state for trial in again.trials}
    # NaN is not equal to itself, and its text is.
    assert str([story(t) for t in again.trials]) == str([story(t) for t in study.trials])
    assert "Traceback" in next(t.error.traceback for t in again.trials if t.error)
    assert any(trial.retry_of is not None for trial in again.trials)
    for name in ("name", "directions", "seed", "space", "n_trials", "backend", "parameter_names"):
        assert getattr(again, name) == getattr(study, name), name
    assert again.best == study.best
    assert again.best.checkpoint == {"path": "run-1", "sizes": [1, 2]}


def test_a_define_by_run_study_keeps_what_each_parameter_was_drawn_from(path):
    def space(trial):
        if trial.suggest_categorical("model", ["a", "b"]) == "a":
            trial.suggest_float("dropout", 0, 0.5, step=0.1)
        return {"size": 2 ** trial.suggest_int("power", 3, 5)}

    study = search(lambda trial: trial["size"], space, n_trials=10, storage=path)
    again = load(path)
    assert again.space is None
    assert [story(t) for t in again.trials] == [story(t) for t in study.trials]
    assert {len(trial.distributions) for trial in again.trials} == {2, 3}
    assert again.trials[0].derived == {"size": 2 ** again.trials[0].params["power"]}


def test_several_objectives_and_conditions_are_kept(path):
    space = hpsearch.Space(
        {"opt": Categorical(["sgd", "adam"]), "momentum": Float(0, 1)},
        conditions={"momentum": hpsearch.when(opt="sgd")},
    )
    study = search(
        lambda trial: (trial.get("momentum", 0.5), len(trial["opt"])),
        space,
        direction=["minimize", "maximize"],
        n_trials=20,
        storage=path,
    )
    again = load(path)
    assert again.space == space
    assert [run.run_id for run in again.best_runs] == [run.run_id for run in study.best_runs]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
@example({"$float": "x"})
@example({"$float": "nan", "more": [math.nan, {"$float": []}]})
def test_any_fact_survives_as_strict_json(value):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = encode([value])
    assert text is not None
    json.loads(text, parse_constant=refuse)
    assert repr(loads(text)) == repr([value])


def test_values_that_are_not_finite_are_strict_json_in_the_file(path):
    def objective(trial):
        for step, value in enumerate([math.nan, math.inf, -math.inf, 0.1]):
            trial.report(value, step)
        trial.annotate("worst", [-math.inf])
        return 1.0

    search(objective, storage=path, n_trials=1)
    connection = sqlite3.connect(path)
    texts = connection.execute("SELECT value FROM report UNION ALL SELECT attrs FROM trial")
    for (text,) in texts:
        assert "NaN" not in text
        assert "Infinity" not in text
    connection.close()
    trial = load(path).trials[0]
    assert str(trial.intermediate) == "{0: (nan,), 1: (inf,), 2: (-inf,), 3: (0.1,)}"
    assert trial.attrs == {"worst": [-math.inf]}


def test_what_anybody_was_told_is_in_the_file(path):
    class Observer:
        @hookimpl
        def hpsearch_start(self, trial):
            assert load(path).trials[trial.number].state == "running"

        @hookimpl
        def hpsearch_report(self, trial, step, values):
            assert load(path).trials[trial.number].intermediate[step] == values

        @hookimpl
        def hpsearch_tell(self, trial):
            assert story(load(path).trials[trial.number]) == story(trial)
            self.told = trial.number

    observer = Observer()

    def objective(trial):
        trial.report(0.5, 3)
        return trial["x"]

    search(objective, storage=path, plugins=[observer])
    assert observer.told == 4


def test_trials_that_report_from_several_threads_are_kept(path):
    class Threads(Executor):
        n_workers = 4

        def open(self, history, evaluate):
            self._history, self._evaluate = history, evaluate
            self._ended = Queue()

        def submit(self, trial):
            threading.Thread(target=self._run, args=(trial,), daemon=True).start()

        def _run(self, trial):
            channel = self._history.channel(trial)
            self._ended.put((trial, self._evaluate.run(trial, channel)))

        def wait(self):
            return self._ended.get()

        def close(self):
            pass

    def objective(trial):
        for step in range(20):
            trial.report(trial["x"] + step, step)
        return trial["x"]

    study = search(objective, n_trials=40, storage=path, executor=Threads())
    again = load(path)
    assert [story(t) for t in again.trials] == [story(t) for t in study.trials]
    assert {len(trial.intermediate) for trial in again.trials} == {20}


# Several studies in one file.


def test_studies_of_one_file_are_kept_apart(path):
    first = search(storage=path, name="first", seed=1)
    second = search(storage=path, name="second", seed=2, n_trials=7)
    assert names(path) == ["first", "second"]
    assert [story(t) for t in load(path, "first").trials] == [story(t) for t in first.trials]
    assert [story(t) for t in load(path, "second").trials] == [story(t) for t in second.trials]
    with pytest.raises(JournalError, match="no study was named; .* has 'first', 'second'"):
        load(path)
    with pytest.raises(JournalError, match="no study 'secnd'; .* Did you mean 'second'"):
        load(path, "secnd")


def test_an_existing_study_is_not_overwritten(path):
    search(storage=path)
    before = files(path.parent)
    with pytest.raises(JournalError, match=r"continue it with resume=True, or give another name="):
        search(storage=path)
    assert files(path.parent) == before


# What is no journal of ours.


def no_database(path):
    path.write_text("learning_rate,loss\n" * 500)


def another_program(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE notes (text)")
    connection.close()


def newer(path):
    search(storage=path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()


def corrupt(path):
    search(storage=path, n_trials=200)
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def cut_off(path):
    search(storage=path)
    os.truncate(path, 4096)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_database, "is not a journal of hpsearch"),
        (another_program, "is not a journal of hpsearch"),
        (newer, "newer hpsearch: .* version 3, .*'pip install --upgrade hpsearch"),
        (corrupt, "cannot be used: .*(damaged|malformed)"),
        (cut_off, "cannot be used: .*(damaged|malformed)"),
        (Path.mkdir, r"is a folder; name a file in it, such as .*study\.db"),
    ],
)
def test_a_file_that_is_no_journal_gets_one_clear_error_and_is_not_touched(make, message, path):
    make(path)
    before = None if path.is_dir() else files(path.parent)
    for use in (
        lambda: search(storage=path, resume=True),
        lambda: load(path),
        lambda: names(path),
    ):
        with pytest.raises(JournalError, match=message) as caught:
            use()
        assert str(path) in str(caught.value)
    if before is not None:
        after = files(path.parent)
        assert {name: after[name] for name in before} == before
        assert not [name for name in after if name.endswith(("-wal", "-shm", "-journal"))]


@pytest.mark.parametrize(
    ("storage", "error", "message"),
    [
        ("missing/study.db", JournalError, "folder .*missing of the journal does not exist"),
        ("postgresql://me:secret@host/db", ArgumentError, "storage is a URL, expected the path"),
        (":memory:", ArgumentError, "storage is ':memory:', expected the path of a file"),
        ("", ArgumentError, "storage is '', expected a path"),
        (7, ArgumentError, "expected"),
    ],
)
def test_a_storage_that_is_no_file_is_refused(storage, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (lambda: search(storage=storage), lambda: load(storage)):
        with pytest.raises(error, match=message) as caught:
            use()
        assert "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", 3])
def test_a_name_that_is_no_text_is_refused(name, path):
    with pytest.raises(ArgumentError, match="expected a text that is not empty"):
        search(storage=path, name=name)
    assert not path.exists()


def test_an_empty_file_becomes_a_journal_and_is_none_before(path):
    path.touch()
    with pytest.raises(JournalError, match="is empty"):
        load(path)
    assert path.read_bytes() == b""
    search(storage=path)
    assert len(load(path).trials) == 5


# Reading.


def test_reading_creates_nothing(path):
    for read in (load, names):
        with pytest.raises(JournalError, match="the journal .* does not exist"):
            read(path)
    assert not list(path.parent.iterdir())
    search(storage=path)
    before = files(path.parent)
    assert [name for name in before if not name.endswith(".lock")] == ["study.db"]
    load(path)
    names(path)
    assert files(path.parent) == before


def test_a_journal_copied_while_its_search_ran_is_read_with_its_log(path, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()

    def objective(trial):
        if trial.number == 3:
            for part in ("study.db", "study.db-wal"):
                shutil.copy(tmp_path / part, copies / part)
        return trial["x"]

    search(objective, storage=path)
    assert [trial.state for trial in load(copies / "study.db").trials] == [
        *["complete"] * 3,
        "running",
    ]


def test_a_change_that_a_kill_cut_short_is_taken_back_by_a_reader(path, tmp_path):
    copy = tmp_path / "copy.db"
    study = search(storage=path, n_trials=200)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(
        "PRAGMA cache_size = 1"
    )  # so that the change reaches the file before its end
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE trial SET params = '{}', error = hex(zeroblob(500))")
    shutil.copy(path, copy)
    shutil.copy(f"{path}-journal", f"{copy}-journal")
    connection.close()
    assert path.read_bytes() != copy.read_bytes()
    assert [story(t) for t in load(copy).trials] == [story(t) for t in study.trials]


def test_durable_waits_for_the_disk_at_every_write(path):
    levels = []

    def levels_of(storage, name):
        def objective(trial):
            (kept,) = [
                member.plugin
                for member in coordinator_of(trial)._hooks.members()
                if isinstance(member.plugin, Journal)
            ]
            levels.append(kept._connection.execute("PRAGMA synchronous").fetchone()[0])
            return 1.0

        search(objective, storage=storage, name=name, n_trials=1)

    def coordinator_of(trial):
        return trial.channel._coordinator

    levels_of(path, "normal")
    levels_of(Durable(path), "durable")
    assert levels == [1, 2]  # NORMAL and FULL, in SQLite's numbers
    assert names(Durable(path)) == ["normal", "durable"]


# One process a study.

OTHER = """
import sys, time, hpsearch
def objective(trial):
    print("running", flush=True)
    sys.stdin.readline()
    return trial["x"]
hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", n_trials=1, progress=False,
    storage=sys.argv[1], name=sys.argv[2],
)
"""


@pytest.fixture
def other(path, programs):
    """Start a search in another process; it runs until it is written a line."""

    def start(name, program=OTHER):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = programs.start(sys.executable, "-c", program, path, name, **pipes)
        assert process.stdout.readline() == "running\n"
        return process

    return start


def test_a_study_that_another_process_runs_is_locked_at_once(path, other, monkeypatch):
    monkeypatch.setattr(study_lock, "PATIENCE", 3600)  # seconds; longer than a test may take
    process = other("mine")
    space = {"x": Float(0, 1)}
    for resume in (False, True):
        with pytest.raises(StudyLockedError) as caught:
            search(space=space, storage=path, name="mine", resume=resume)
        for fact in (str(path), "'mine'", f"process {process.pid};"):
            assert fact in str(caught.value)
    # Reading needs no lock, and another study has its own.
    assert load(path, "mine").counts()["running"] == 1
    assert len(search(storage=path, name="other").trials) == 5
    process.communicate("\n")
    assert process.returncode == 0
    study = search(space=space, storage=path, name="mine", resume=True, n_trials=3, seed=None)
    assert study.counts()["complete"] == 3


def test_a_study_inside_itself_is_locked(path):
    def objective(trial):
        with pytest.raises(StudyLockedError, match="is being run by this process"):
            search(storage=path, resume=True)
        return 1.0

    search(objective, storage=path, n_trials=1)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the lock among the open files of Linux")
def test_a_child_that_outlives_its_killed_parent_delays_a_resume_and_no_more(path, other):
    process = other(
        "mine",
        """
import glob, os, signal, subprocess, sys, hpsearch
def objective(trial):
    (lock,) = [fd for fd in os.listdir("/proc/self/fd")
               if os.path.exists(f"/proc/self/fd/{fd}")
               and os.readlink(f"/proc/self/fd/{fd}").endswith(".lock")]
    subprocess.Popen(["sleep", "1"], pass_fds=[int(lock)])
    print("running", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", n_trials=2, progress=False,
    storage=sys.argv[1], name=sys.argv[2],
)
""",
    )
    process.wait()
    study = search(
        space={"x": Float(0, 1)}, storage=path, name="mine", resume=True, n_trials=2, seed=None
    )
    assert study.counts()["complete"] == 2


def test_many_studies_of_one_file_run_at_the_same_time(path, programs):
    program = """
import sys, hpsearch
for round in range(10):
    hpsearch.search(
        lambda trial: trial["x"], {"x": hpsearch.Float(0, 1)}, backend="random",
        n_trials=10, progress=False, storage=sys.argv[1], name=f"{sys.argv[2]}-{round}",
    )
"""
    processes = [
        programs.start(sys.executable, "-c", program, path, number, stderr=subprocess.PIPE)
        for number in range(4)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert errors == [""] * 4
    assert len(names(path)) == 40
    for name in names(path):
        assert load(path, name).counts()["complete"] == 10


def test_parameters_that_an_engine_changed_are_kept_with_what_they_were(tmp_path):
    study = Study("study", ["minimize"], space=Space({"x": Float(0, 1)}), seed=1)
    hooks = Hooks()
    history = Coordinator(study, hooks, FailurePolicy(), "a backend")
    kept_in = Journal(tmp_path / "study.db", history, resume=False, seed_given=True)
    hooks.register(kept_in, Role.JOURNAL, "j")
    hooks.each("hpsearch_open", study=study)
    trial = history.begin({"x": 0.25}, id="a1")
    history.report(trial, 3, (1.0,))
    history.change(trial, {"x": 0.5})
    history.change(trial, {"x": 0.5})
    with pytest.raises(BackendError, match="not in the space"):
        history.change(trial, {"x": 7.0})
    history.tell(trial, Outcome(TrialState.COMPLETE, (2.0,)))
    hooks.each("hpsearch_close", study=study, error=None)
    (kept,) = load(tmp_path / "study.db").trials
    assert kept.params == {"x": 0.5}
    assert kept.attrs == {"changed_params": [{"params": {"x": 0.25}, "step": 3}]}


def test_a_link_and_its_journal_have_one_lock(path):
    link = path.with_name("link.db")

    def objective(trial):
        if trial.number == 0:
            link.symlink_to(path)
            with pytest.raises(StudyLockedError):
                search(storage=link, resume=True)
        return 0.0

    search(objective, storage=path, n_trials=2)
    assert len(load(link).trials) == 2


def test_a_journal_with_a_second_name_is_not_written(path):
    search(storage=path, n_trials=1)
    os.link(path, path.with_name("other.db"))
    with pytest.raises(JournalError, match="has another name, a hard link"):
        search(storage=path, n_trials=2, resume=True)
