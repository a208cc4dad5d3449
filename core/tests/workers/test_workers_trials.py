"""Trials in worker processes are the trials that they would be here."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, TrialPruned
from hpsearch.builtin.random import RandomBackend
from hpsearch.errors import ArgumentError, OptionError, SearchFailedError
from hpsearch.pruners import Pruner
from hpsearch.storage.journal import load

UNIT = {"x": Float(0, 1)}


def test_trials_run_in_processes_of_their_own_that_are_reused(search):
    def objective(trial):
        trial.annotate("pid", os.getpid())
        time.sleep(0.05)
        return trial["x"]

    study = search(objective, n_trials=10)
    pids = {trial.attrs["pid"] for trial in study.trials}
    assert len(pids) == 2
    assert os.getpid() not in pids
    here = hpsearch.search(objective_of_x, UNIT, backend="random", seed=1, n_trials=10)
    assert [t.objectives for t in study.trials] == [t.objectives for t in here.trials]


def objective_of_x(trial):
    return trial["x"]


def test_two_trials_run_at_the_same_time(search, tmp_path):
    def objective(trial):
        (tmp_path / str(trial.number)).touch()
        while not (tmp_path / str(1 - trial.number)).exists():
            time.sleep(0.01)
        return 0.0

    assert search(objective, n_trials=2).counts()["complete"] == 2


class CountsArrivals:
    """An objective that notes each time that it is unpacked."""

    def __init__(self, folder):
        self.folder = folder

    def __setstate__(self, state):
        vars(self).update(state)
        (self.folder / str(os.getpid())).touch(exist_ok=False)

    def __call__(self, trial):
        return trial["x"]


def test_the_evaluation_is_unpacked_once_in_each_process(search, tmp_path):
    search(CountsArrivals(tmp_path), n_trials=12)
    assert len(list(tmp_path.iterdir())) == 2


def test_isolated_trials_have_a_new_process_each(search, tmp_path):
    study = search(CountsArrivals(tmp_path), n_trials=5, isolate=True)
    assert study.counts()["complete"] == 5
    # Two workers start beforehand, and each trial ends its own.
    assert len(list(tmp_path.iterdir())) == 5


def test_without_a_number_of_workers_there_is_one(search):
    def objective(trial):
        trial.annotate("pid", os.getpid())
        return 0.0

    study = search(objective, n_workers=None)
    assert len({trial.attrs["pid"] for trial in study.trials}) == 1


SCRIPT = """
import pickle
import sys
import hpsearch

FACTOR = 3
class Squarer:
    def square(self, x):
        return FACTOR * x * x

def objective(trial):
    squarer = pickle.loads(pickle.dumps(Squarer()))  # as a Trainer does with its arguments
    return squarer.square(trial["x"]) + len(sys.argv)

print("running", __name__)
study = hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", n_trials=4, n_workers=2,
    executor="process", progress=False, seed=1,
)
print(study.best.objective == 3 * study.best.hyperparameters["x"] ** 2 + 3, study.counts())
"""


@pytest.mark.parametrize("how", ["script", "module", "stdin"])
def test_a_program_needs_no_main_guard(programs, how, tmp_path):
    (tmp_path / "search_x.py").write_text(SCRIPT)
    command = {"script": ["search_x.py"], "module": ["-m", "search_x"], "stdin": ["-"]}[how]
    given = {"input": SCRIPT} if how == "stdin" else {}
    result = programs.run(sys.executable, *command, "--some", "argument", cwd=tmp_path, **given)
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "running __main__",
        "True {'running': 0, 'complete': 4, 'pruned': 0, 'failed': 0}",
    ]


# What cannot go there.

LOCK = threading.Lock()


class Started:
    def __init__(self):
        self.numbers = []

    @hpsearch.hookimpl
    def hpsearch_start(self, trial):
        self.numbers.append(trial.number)


def test_what_cannot_travel_is_named_before_the_first_trial(search):
    started = Started()

    def objective(trial):
        with LOCK:
            return trial["x"]

    with pytest.raises(ArgumentError, match="the objective uses 'LOCK', TypeError.*lock"):
        search(objective, plugins=[started])
    assert not started.numbers


def cannot_arrive():
    raise ModuleNotFoundError("No module named 'only_here'")


class OnlyHere:
    def __reduce__(self):
        return cannot_arrive, ()

    def __call__(self, trial):
        return 0.0


def test_what_cannot_be_loaded_in_a_worker_is_said_before_the_first_trial(search):
    started = Started()
    with pytest.raises(ArgumentError, match="cannot be loaded there: ModuleNotFoundError.*only_h"):
        search(OnlyHere(), plugins=[started])
    assert not started.numbers


# What running trials say and hear.


def test_reports_reach_the_study_and_a_pruners_decision_the_trial(search):
    def objective(trial):
        for step in range(4):
            trial.report(trial["x"], step)
            if trial.should_prune():
                trial.annotate("pruned_at", step)
                raise TrialPruned
        return trial["x"]

    class Above(Pruner):
        def should_prune(self, trial, step, cost):
            return step >= 2 and cost > 0.5

    study = search(objective, pruner=Above(), n_trials=12)
    for trial in study.trials:
        cut = trial["x"] > 0.5
        assert trial.state == ("pruned" if cut else "complete")
        assert trial.intermediate == dict.fromkeys(range(3 if cut else 4), (trial["x"],))
        assert trial.attrs == ({"pruned_at": 2} if cut else {})
    assert {trial.state for trial in study.trials} == {"pruned", "complete"}


def test_the_backends_own_pruner_decides(search):
    optuna = pytest.importorskip("optuna")

    def objective(trial):
        trial.report(trial["x"], 0)
        if trial.should_prune():
            raise TrialPruned
        return trial["x"]

    study = search(objective, backend="optuna", pruner=optuna.pruners.ThresholdPruner(upper=0.5))
    assert {(t.state == "pruned") == (t["x"] > 0.5) for t in study.trials} == {True}
    assert study.counts()["pruned"]


@pytest.mark.parametrize("backend", ["random", "optuna"])
def test_a_running_trial_suggests(search, backend):
    pytest.importorskip("optuna")

    def objective(trial):
        depth = trial.suggest_int("depth", 1, 3)
        rates = [trial.suggest_float(f"rate{layer}", 1e-3, 1, log=True) for layer in range(depth)]
        assert trial.suggest_int("depth", 1, 3) == depth
        return sum(rates) + {"a": 0, "b": 1}[trial.suggest_categorical("kind", ["a", "b"])]

    study = hpsearch.search(
        objective,
        backend=backend,
        seed=3,
        n_trials=8,
        executor="process",
        n_workers=2,
        progress=False,
    )
    for trial in study.trials:
        assert trial.state == "complete", trial.error
        rates = {f"rate{layer}" for layer in range(trial["depth"])}
        assert set(trial.params) == {"depth", "kind"} | rates


def test_a_running_trials_mistakes_are_its_own(search):
    def objective(trial):
        mistakes = [
            lambda: trial.suggest_float("other", 0, 1),
            lambda: trial.report([1.0, 2.0], 0),
            lambda: trial.annotate("lock", threading.Lock()),
            lambda: trial.suggest_float("x", 0, 2),
        ]
        if trial.number < len(mistakes):
            mistakes[trial.number]()
        return trial["x"]

    study = search(objective, max_failures=9)
    assert [trial.state for trial in study.trials] == ["failed"] * 4 + ["complete"] * 2
    said = [trial.error.message for trial in study.trials[:4]]
    for message, part in zip(
        said, ["'other'", "2 values", "expected JSON", "'x' was"], strict=True
    ):
        assert part in message


def test_a_trial_stops_the_study(search):
    def objective(trial):
        if trial.number == 1:
            trial.stop_study()
        time.sleep(0.01)
        return trial["x"]

    study = search(objective, n_trials=1000)
    assert 2 <= len(study.trials) < 100
    assert study.counts()["complete"] == len(study.trials)


def test_what_a_space_function_adds_reaches_the_study(search):
    def space(trial):
        layers = trial.suggest_int("layers", 1, 3)
        return {"layers": layers, "sizes": [8] * layers}

    study = search(lambda trial: sum(trial["sizes"]), space, n_trials=4)
    assert [trial["sizes"] for trial in study.trials] == [[8] * t["layers"] for t in study.trials]
    assert [trial.objective for trial in study.trials] == [8 * t["layers"] for t in study.trials]


def test_several_directions(search):
    study = search(lambda trial: (trial["x"], -trial["x"]), direction=["minimize", "maximize"])
    assert len(study.best_runs) == 1


# How trials fail.


def fails(trial):
    if trial["x"] > 0.5:
        raise LookupError(f"x is {trial['x']}")
    return trial["x"]


def test_an_exception_arrives_with_the_workers_traceback(search):
    study = search(fails, max_failures=20)
    failed = [trial for trial in study.trials if trial["x"] > 0.5]
    assert failed
    for trial in failed:
        assert trial.error.type == "LookupError"
        assert trial.error.message == f"x is {trial['x']}"
        assert "in fails" in trial.error.traceback
        assert "raise LookupError" in trial.error.traceback
    assert study.counts()["failed"] == len(failed)


def test_nan_is_no_objective(search):
    study = search(lambda trial: float("nan"), n_trials=2, max_failures=5)
    assert [trial.error.type for trial in study.trials] == ["hpsearch.errors.ObjectiveError"] * 2


def test_caught_failures_never_end_the_search(search):
    study = search(fails, n_trials=20, catch=LookupError, max_failures=0)
    assert len(study.trials) == 20
    assert study.counts()["failed"]


def test_wrong_code_ends_the_search_after_the_trials_that_run(search):
    def objective(trial):
        raise ZeroDivisionError

    with pytest.raises(SearchFailedError, match="failed before any trial had ended well") as raised:
        search(objective, n_trials=1000)
    assert 1 <= len(raised.value.study.trials) <= 2
    assert raised.value.study.counts()["running"] == 0


def test_failures_in_a_row_are_counted_across_workers(search):
    def objective(trial):
        if trial.number > 2:
            raise ZeroDivisionError
        return 0.0

    with pytest.raises(SearchFailedError, match="max_failures is 3") as raised:
        search(objective, n_trials=1000, max_failures=3)
    trials = sorted(raised.value.study.trials, key=lambda trial: trial.ended)
    states = "".join("x" if trial.state == "failed" else "." for trial in trials)
    # The one that ran when it was enough may have failed too.
    assert re.fullmatch(r"(x{0,3}\.)*x{4,5}\.?", states), states


def test_a_failed_trial_is_retried(search, tmp_path):
    def objective(trial):
        mark = Path(tmp_path / str(trial["x"]))
        if not mark.exists():
            mark.touch()
            raise OSError("the first time")
        return trial["x"]

    study = search(objective, retries=1, n_trials=3)
    assert study.counts() == {"running": 0, "complete": 3, "pruned": 0, "failed": 3}


def test_the_timeout_lets_running_trials_end(search):
    def objective(trial):
        time.sleep(2.5)
        return trial["x"]

    study = search(objective, n_trials=None, timeout=6)
    assert study.counts()["complete"] == len(study.trials) >= 2


# What stays the same, and what limits.


@pytest.mark.parametrize("backend", ["random", "grid"])
def test_parameters_do_not_depend_on_the_order_in_which_trials_end(search, backend):
    space = {"x": Float(0, 1, step=0.125), "n": Int(1, 4), "kind": Categorical(["a", "b"])}

    def objective(trial):
        time.sleep(0.06 if trial.number % 3 == 0 else 0.0)
        return trial["x"]

    options = {"backend": backend, "n_trials": 20, "seed": 7}
    if backend == "grid":
        options["shuffle"] = True
    three = search(objective, space, n_workers=3, **options)
    assert [t.number for t in sorted(three.trials, key=lambda t: t.ended)] != list(range(20))
    one = search(objective, space, n_workers=1, **options)
    here = hpsearch.search(objective_of_x, space, progress=False, **options)
    expected = [dict(trial.params) for trial in here.trials]
    assert [dict(trial.params) for trial in three.trials] == expected
    assert [dict(trial.params) for trial in one.trials] == expected


def test_a_backend_never_has_more_open_suggestions_than_it_can_and_this_is_said(
    search, caplog, monkeypatch
):
    class Watch:
        running = most = 0

        @hpsearch.hookimpl
        def hpsearch_start(self):
            self.running += 1
            self.most = max(self.most, self.running)

        @hpsearch.hookimpl
        def hpsearch_tell(self):
            self.running -= 1

    watch = Watch()
    one_open = replace(RandomBackend.capabilities, max_parallel=1)
    monkeypatch.setattr(RandomBackend, "capabilities", one_open)
    search(lambda trial: time.sleep(0.02) or 0.0, plugins=[watch], n_workers=3)
    assert watch.most == 1
    (said,) = [record.getMessage() for record in caplog.records if "at a time" in record.msg]
    assert "backend 'random'" in said
    assert "3 workers" in said


def test_a_search_in_workers_is_resumed(search, tmp_path):
    path = tmp_path / "study.db"
    first = search(objective_of_x, storage=path, n_trials=3)
    study = search(objective_of_x, storage=path, resume=True, n_trials=7)
    assert len(study.trials) == len(load(path).trials) == 7
    assert [trial["x"] for trial in study.trials[:3]] == [trial["x"] for trial in first.trials]


def test_a_search_may_run_in_another_thread_of_the_program(search):
    studies = []
    thread = threading.Thread(target=lambda: studies.append(search(objective_of_x)), daemon=True)
    thread.start()
    thread.join()
    assert studies[0].counts()["complete"] == 6


# Options.


def test_an_unknown_option_is_named_with_the_nearest_of_both(search):
    with pytest.raises(OptionError, match=r"'trial_timout'\. Did you mean 'trial_timeout'"):
        search(objective_of_x, trial_timout=3)
    with pytest.raises(OptionError, match=r"'shuffel'\. Did you mean 'shuffle'.*those of executor"):
        search(objective_of_x, backend="grid", shuffel=True)


def test_an_option_of_an_executor_that_was_not_asked_for_says_whose_it_is():
    with pytest.raises(OptionError, match="executor='process' has 'trial_timeout'"):
        hpsearch.search(objective_of_x, UNIT, backend="random", trial_timeout=3)


@pytest.mark.parametrize(
    "option",
    [
        {"isolate": 1},
        {"trial_timeout": 0},
        {"trial_timeout": "3"},
        {"trial_timeout": True},
        {"devices_per_trial": -1},
        {"devices_per_trial": 0.5},
        {"threads_per_worker": 0},
    ],
    ids=str,
)
def test_bad_options_are_refused(search, option):
    ((name, _),) = option.items()
    with pytest.raises(OptionError, match=f"{name} is "):
        search(objective_of_x, **option)
