"""A journal that goes away while its search runs ends the search with an error."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import cloudpickle
import pytest

import hpsearch
from hpsearch import Float, Int, hookimpl
from hpsearch.errors import JournalError

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


def test_a_second_study_in_the_same_file_harms_nothing(tmp_path):
    path = tmp_path / "study.db"

    def another(path, other):
        search(path, name="another")

    study = search(path, plugins=[Does(another, path, path, 2)])
    assert hpsearch.load(path, "study").to_json() == study.to_json()
    assert hpsearch.load(path, "another").counts()["complete"] == N_TRIALS
