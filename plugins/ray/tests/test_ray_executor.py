"""``executor="ray"``: other backends suggest, Ray runs the trials, the history is as anywhere."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from optuna.pruners import MedianPruner

import hpsearch
from hpsearch import Categorical, Float, Int, hookimpl
from hpsearch.errors import (
    ArgumentError,
    CapabilityError,
    OptionError,
    SearchInterrupted,
    TrialPruned,
)
from hpsearch.space.space import Space, when

SPACE = {
    "x": Float(0.0, 1.0),
    "steps": Float(0, 0.3, step=0.1),
    "c": Categorical([None, True, "1"]),
}


@pytest.fixture
def search(results, monkeypatch, tmp_path):
    """Search with trials on Ray, one at a time, in one place for Ray's files."""
    monkeypatch.chdir(tmp_path)

    def run(objective, space=SPACE, **arguments):
        options = {"backend": "optuna", "n_trials": 4, "seed": 1, "n_workers": 1, **arguments}
        options = {"executor": "ray", "storage_path": results, "progress": False, **options}
        return hpsearch.search(objective, space, **options)

    return run


def here(objective, space=SPACE, **arguments):
    options = {"backend": "optuna", "n_trials": 4, "seed": 1, "progress": False, **arguments}
    return hpsearch.search(objective, space, **options)


def trials(study):
    return [(str(t.state), dict(t.params), t.objectives, t.intermediate) for t in study.trials]


def reports_x(trial):
    for step in range(4):
        trial.report(trial["x"], step)
        if trial.should_prune():
            raise TrialPruned
    return trial["x"]


class Ends:
    """Notes which trials start and are told."""

    def __init__(self):
        self.told = []
        self.started = 0

    @hookimpl
    def hpsearch_start(self, trial):
        self.started += 1

    @hookimpl
    def hpsearch_tell(self, trial):
        self.told.append(trial.number)


# Trials there are the trials here.


def test_a_backends_own_pruner_and_native_study_are_as_here(search):
    options = {"n_trials": 10, "pruner": MedianPruner(n_startup_trials=2)}
    there = search(reports_x, **options)
    assert trials(there) == trials(here(reports_x, **options))
    assert {"complete", "pruned"} == {str(trial.state) for trial in there.trials}
    assert [trial.number for trial in there.native.trials] == list(range(10))


def test_a_pruner_of_the_cores_stops_trials_there(search):
    options = {"backend": "random", "n_trials": 10, "pruner": "median"}
    there = search(reports_x, **options)
    assert trials(there) == trials(here(reports_x, **options))
    assert any(len(trial.intermediate) < 4 for trial in there.trials)


def test_a_running_trial_may_suggest_annotate_derive_and_end_the_search(search):
    """Tune's reports go one way; suggestions have a way of their own."""

    def space(trial):
        x = trial.suggest_float("x", 0, 1)
        return {"far": x > 0.3, **({"n": trial.suggest_int("n", 1, 3)} if x > 0.3 else {})}

    def objective(trial):
        trial.annotate("pid", os.getpid())
        if trial.number == 2:
            trial.stop_study()
        return trial["x"] + trial.suggest_float("late", 0, 1) + trial["far"]

    there, expected = search(objective, space), here(objective, space)
    assert trials(there) == trials(expected)
    assert [len(trial.params) for trial in there.trials] == [3, 3, 2]
    assert [trial["far"] for trial in there.trials] == [True, True, False]
    (pid,) = {trial.attrs["pid"] for trial in there.trials}
    assert pid != os.getpid()


def test_what_a_trial_asks_wrongly_fails_that_trial_alone(search):
    def objective(trial):
        return trial.suggest_float("x", 0, 2 if trial.number == 1 else 1) + trial.suggest_int(
            "x", 0, 1
        )

    study = search(objective, None, max_failures=9)
    assert {trial.error.type.rpartition(".")[2] for trial in study.trials} == {"SpaceError"}
    assert "one name has one distribution" in str(study.trials[0].error)


def test_a_space_with_conditions_and_enqueued_trials_reach_the_worker_exactly(search):
    space = Space({"kind": Categorical(["a", "b"]), "depth": Int(1, 9)}, {"depth": when(kind="a")})
    first = {"kind": "b"}

    def objective(trial):
        return float(trial.params.get("depth", 0))

    options = {"enqueue": [first], "backend": "random"}
    there = search(objective, space, **options)
    assert trials(there) == trials(here(objective, space, **options))
    assert there.trials[0].params == first


def test_several_directions_and_large_data_that_is_changed_in_place(search):
    data = np.zeros(3)

    def objective(trial):
        data[0] += 1
        return trial["x"], data[0]

    study = search(objective, direction=["minimize", "maximize"], resources_per_trial={"cpu": 0.5})
    assert [trial.objectives[1] for trial in study.trials] == [1.0, 2.0, 3.0, 4.0]
    assert study.best_runs


# What goes wrong.


def test_failures_keep_their_traceback_and_are_tried_again(search, tmp_path):
    def raises_once(trial):
        mark = tmp_path / str(trial["x"])
        if trial.number < 2 and not mark.exists():
            mark.touch()
            raise RuntimeError("no luck today")
        return trial["x"]

    ends = Ends()
    study = search(raises_once, retries=1, max_failures=9, plugins=[ends])
    first, again, *others = study.trials
    assert first.error.type == "RuntimeError"
    assert "in raises_once" in first.error.traceback
    assert (again.retry_of, again.params) == (0, first.params)
    assert [str(trial.state) for trial in (again, *others)] == ["complete"] * 4
    assert ends.told == [0, 1, 2, 3, 4]


def test_a_worker_that_is_killed_fails_its_trial_alone(search):
    def objective(trial):
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return trial["x"]

    study = search(objective, n_trials=3)
    assert [str(trial.state) for trial in study.trials] == ["complete", "failed", "complete"]
    assert "died" in str(study.trials[1].error)


def test_an_interrupted_search_goes_on_from_its_journal(search, tmp_path, ctrl_c_once):
    def objective(trial):
        if trial.number == 2 and not Path("go").exists():
            Path("reached").touch()
            for step in range(6000):
                trial.report(0.0, step)
                time.sleep(0.1)
        return trial["x"]

    options = {"storage": "study.db", "resume": True, "backend": "random"}
    with pytest.raises(SearchInterrupted), ctrl_c_once(tmp_path / "reached"):
        search(objective, **options)
    Path("go").touch()
    study = search(objective, **options)
    assert trials(study) == trials(here(objective, backend="random"))


# What is refused before the first trial.


def never(trial):
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "said", "arguments"),
    [
        (CapabilityError, "runs the trials itself and takes no executor", {"backend": "ray"}),
        (OptionError, "9 CPU on one node, and no node", {"resources_per_trial": {"cpu": 9}}),
        (OptionError, r"\['cpu'\] is -1, expected a finite", {"resources_per_trial": {"cpu": -1}}),
        (OptionError, "mean 'resources_per_trial'", {"resource_per_trial": {}}),
        (OptionError, "option 'scheduler'", {"scheduler": "asha"}),
        (OptionError, "connected to another Ray", {"address": "127.0.0.1:1"}),
    ],
    ids=["backend", "resources", "amount", "misspelt", "scheduler", "address"],
)
def test_what_cannot_work_is_refused_before_the_first_trial(search, error, said, arguments):
    ends = Ends()
    with pytest.raises(error, match=said):
        search(never, plugins=[ends], **arguments)
    assert not ends.started


def test_what_cannot_travel_is_named(search):
    lock = threading.Lock()
    with pytest.raises(ArgumentError, match="the objective uses 'lock'.*cannot pickle"):
        search(lambda trial: float(lock.locked()))
