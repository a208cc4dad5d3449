"""An inline objective that forks: its child ends where it would, and the study stays whole."""

from __future__ import annotations

import os
import sys

import pytest

import hpsearch
from hpsearch import Float, hookimpl
from hpsearch.errors import HpsearchError
from hpsearch.storage.journal import load

if not hasattr(os, "fork"):
    pytest.skip("forks need a POSIX system", allow_module_level=True)


def returns(trial):
    return 99.0


def raises(trial):
    raise ValueError("in the child")


def interrupts(trial):
    raise KeyboardInterrupt


def exits(trial):
    sys.exit(7)


def prunes(trial):
    raise hpsearch.TrialPruned


def reports(trial):
    trial.report(99.0, 99)


def annotates(trial):
    trial.annotate("child", True)


def constrains(trial):
    trial.set_constraint("child", 1.0)


def suggests(trial):
    trial.suggest_float("child", 0, 1)


def stops(trial):
    trial.stop_study()


CODES = {
    returns: 0,
    raises: 1,
    interrupts: 1,
    exits: 7,
    prunes: 0,
    reports: 1,
    annotates: 1,
    constrains: 1,
    suggests: 1,
    stops: 1,
}


class Watching:
    """Writes a line to a file for each call, with the process that it is called in."""

    def __init__(self, path):
        self.path = path

    def met(self, hook):
        with self.path.open("a") as file:
            file.write(f"{hook} {os.getpid()}\n")

    @hookimpl
    def hpsearch_tell(self):
        self.met("tell")

    @hookimpl
    def hpsearch_close(self):
        self.met("close")


@pytest.mark.parametrize("does", CODES)
def test_what_a_forked_child_does_costs_the_study_nothing(does, tmp_path, capfd):
    codes = []

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 0)
        child = os.fork()
        if child == 0:
            return does(trial)
        _, status = os.waitpid(child, 0)
        codes.append(os.waitstatus_to_exitcode(status))
        trial.report(x, 1)
        return x

    path, watched = tmp_path / "study.db", tmp_path / "watched"
    study = hpsearch.search(
        objective,
        backend="random",
        n_trials=4,
        seed=1,
        storage=path,
        plugins=[Watching(watched)],
        progress=False,
    )
    assert codes == [CODES[does]] * 4
    assert study.counts() == {"running": 0, "complete": 4, "pruned": 0, "failed": 0}
    for trial in study.trials:
        assert trial.params == {"x": trial.objective}
        assert trial.intermediate == {0: (trial["x"],), 1: (trial["x"],)}
        assert trial.attrs == {}
        assert trial.constraints == {}
    assert load(path).to_json() == study.to_json()
    assert watched.read_text() == f"tell {os.getpid()}\n" * 4 + f"close {os.getpid()}\n"
    # Nobody holds the journal, and it goes on.
    more = hpsearch.search(
        lambda trial: trial.suggest_float("x", 0, 1),
        backend="random",
        n_trials=5,
        storage=path,
        resume=True,
        progress=False,
    )
    assert more.counts()["complete"] == 5


def test_a_child_that_is_still_there_when_the_search_has_ended_cannot_write(tmp_path):
    go, end = os.pipe()
    said, say = os.pipe()
    path = tmp_path / "study.db"

    def objective(trial):
        child = os.fork()
        if child == 0:
            os.close(end)
            os.read(go, 1)  # until the parent has closed its end, after the search
            try:
                trial.report(99.0, 1)
            except HpsearchError as error:
                os.write(say, str(error).encode())
            os._exit(0)
        children.append(child)
        return trial["x"]

    children = []
    study = hpsearch.search(
        objective,
        {"x": Float(0, 1)},
        backend="random",
        n_trials=2,
        storage=path,
        progress=False,
    )
    os.close(end)
    os.close(say)
    for child in children:
        os.waitpid(child, 0)
    with os.fdopen(said) as answers, os.fdopen(go):
        assert answers.read().count("which was forked from it, cannot") == 2
    assert load(path).to_json() == study.to_json()
    assert all(trial.intermediate == {} for trial in study.trials)
