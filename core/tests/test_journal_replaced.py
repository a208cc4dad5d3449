"""A journal that goes away while its search runs ends the search with an error."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import cloudpickle
import pytest

import hpsearch
from hpsearch import Float, Int, hookimpl
from hpsearch.errors import JournalError
from hpsearch.storage import schema

EXECUTORS = [
    "inline",
    pytest.param(
        "process",
        marks=pytest.mark.skipif(sys.platform == "win32", reason="workers need a POSIX system"),
    ),
]
N_TRIALS = 6


@pytest.fixture(scope="module", autouse=True)
def _this_module_goes_by_value():
    """Workers cannot import a test file, so its functions are sent by value, as a script's are."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def objective(trial):
    trial.report(trial["x"], 1)
    return trial["x"]


def search(path, space=None, **options):
    return hpsearch.search(
        objective,
        space or {"x": Float(0, 1)},
        storage=path,
        **{"backend": "random", "seed": 1, "n_trials": N_TRIALS, "progress": False, **options},
    )


def deleted(path, other):
    path.unlink()


def deleted_with_its_log(path, other):
    for part in path.parent.glob(f"{path.name}*"):
        if part.suffix != ".lock":
            part.unlink()


def moved_away(path, other):
    path.rename(path.with_name("moved.db"))


def replaced(path, other):
    shutil.copy(other, path.with_name("new.db"))
    path.with_name("new.db").replace(path)


def overwritten(path, other):
    path.write_bytes(other.read_bytes())


def overwritten_by_text(path, other):
    path.write_text("learning_rate,loss\n" * 1000)


def cut_off(path, other):
    os.truncate(path, 0)


class Does:
    """Does something to the journal when a trial has ended."""

    def __init__(self, what, path, other, number):
        self.what, self.path, self.other, self.number = what, Path(path), Path(other), number

    @hookimpl
    def hpsearch_tell(self, trial):
        if trial.number == self.number:
            self.what(self.path, self.other)


class Touches:
    """Writes to the journal what changes nothing, when a trial has ended."""

    def __init__(self, path):
        self.path = path

    @hookimpl
    def hpsearch_tell(self, trial):
        edit(self.path, "UPDATE study SET name = name")


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("number", [1, N_TRIALS - 1], ids=["in the middle", "at the end"])
@pytest.mark.parametrize(
    "what",
    [
        deleted,
        deleted_with_its_log,
        moved_away,
        replaced,
        overwritten,
        overwritten_by_text,
        cut_off,
    ],
)
def test_a_journal_that_goes_away_ends_the_search(what, number, executor, tmp_path):
    path, other = tmp_path / "study.db", tmp_path / "other.db"
    search(other, {"x": Float(0, 1), "n": Int(1, 3)}, seed=2, n_trials=40)
    with pytest.raises(JournalError, match=r"study\.db"):
        search(path, plugins=[Does(what, path, other, number)], executor=executor)


def test_an_older_copy_of_the_same_journal_ends_the_search(tmp_path):
    path, older = tmp_path / "study.db", tmp_path / "older.db"
    search(path)
    shutil.copy(path, older)
    search(path, n_trials=500, resume=True)
    with pytest.raises(JournalError, match=r"study\.db"):
        search(path, n_trials=505, resume=True, plugins=[Does(overwritten, path, older, 502)])


def edit(path, statement):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trial SET objectives = '[-1.0]' WHERE number = 0",
        "UPDATE trial SET params = '{\"x\":0.5}' WHERE number = 3",
        "UPDATE trial SET state = 'pruned', objectives = NULL WHERE number = 3",
        "UPDATE trial SET attrs = '{\"fact\":1}' WHERE number = 0",
        "UPDATE trial SET started = 1.0 WHERE number = 0",
        "UPDATE report SET value = '[2.0]' WHERE number = 0",
        "UPDATE report SET step = 2 WHERE number = 0",
        "DELETE FROM report WHERE number = 0",
        "UPDATE trial SET number = 99 WHERE number = 6",
        "DELETE FROM trial WHERE state = 'waiting'",
        "UPDATE trial SET study = 99 WHERE number = 0",
        "UPDATE report SET study = 99 WHERE number = 0",
        "UPDATE study SET chosen = '[0]'",
        """INSERT INTO trial (study, number, id, state, attempts, started, params, error)
        VALUES (1, 99, '99', 'failed', 1, 1.0, '{"x":0.5}', '{"type":"E","message":"m"}')""",
    ],
)
def test_a_row_that_something_else_changes_while_the_search_runs_ends_it(statement, tmp_path):
    """Trial 0 is of an earlier run, trial 3 of this one, and trial 6 waits when the search ends."""
    path = tmp_path / "study.db"
    search(path, n_trials=3)

    def edited(path, other):
        edit(path, statement)

    class Stops:
        @hookimpl
        def hpsearch_tell(self, study, trial):
            if trial.number == 5:
                study.history.request_stop("enough")

    points = [{"x": x} for x in (0.1, 0.2, 0.3, 0.4)]
    plugins = [Does(edited, path, path, 4), Stops()]
    with pytest.raises(JournalError, match=r"study\.db"):
        search(path, n_trials=9, resume=True, enqueue=points, plugins=plugins)


def test_a_changed_copy_that_is_copied_over_the_journal_ends_the_search(tmp_path):
    """It has the study and each trial, and the last one that ended: what is old differs."""
    path, changed = tmp_path / "study.db", tmp_path / "changed.db"
    search(path, n_trials=300)

    def copied_and_changed(path, other):
        shutil.copy(path, changed)
        edit(changed, "UPDATE trial SET objectives = '[-1.0]' WHERE number = 7")

    plugins = [
        Does(copied_and_changed, path, path, 303),
        Does(overwritten, path, changed, 305),
    ]
    with pytest.raises(JournalError, match=r"study\.db was changed .* 'study', trial 7 is not as"):
        search(path, n_trials=310, resume=True, plugins=plugins)


def test_many_trials_are_compared_with_the_file_only_if_something_else_wrote_to_it(
    tmp_path, monkeypatch
):
    compared = []
    read = schema.read_trials
    monkeypatch.setattr(schema, "read_trials", lambda *a: compared.append(a) or read(*a))
    search(tmp_path / "study.db", n_trials=2500)
    assert not compared
    search(tmp_path / "study.db", name="another", plugins=[Touches(tmp_path / "study.db")])
    assert compared


def test_a_second_study_in_the_same_file_harms_nothing(tmp_path):
    path = tmp_path / "study.db"

    def another(path, other):
        search(path, name="another")

    study = search(path, plugins=[Does(another, path, path, 2)])
    assert hpsearch.load(path, "study").to_json() == study.to_json()
    assert hpsearch.load(path, "another").counts()["complete"] == N_TRIALS
