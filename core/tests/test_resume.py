"""Resuming: the same total, the same trials, on the same backend or another."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from typing import Any

import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.builtin.random import RandomBackend
from hpsearch.errors import (
    BackendError,
    JournalError,
    SearchFailedError,
    SearchInterrupted,
    SpaceError,
)
from hpsearch.execution.executor import Executor
from hpsearch.storage.journal import load

SPACE = {"x": Float(0, 1), "n": Int(1, 3)}
GRID = {"a": Categorical(["u", "v", "w"]), "n": Int(1, 3)}


def search(objective, path, space=SPACE, **options):
    defaults: dict[str, Any] = {"backend": "random", "n_trials": 12, "progress": False}
    return hpsearch.search(objective, space, storage=path, resume=True, **{**defaults, **options})


def value(trial):
    return trial.get("x", 0.5) + trial.get("n", 0)


def suggesting(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.report(x, 0)
    if x > 0.5:
        x += trial.suggest_int("n", 1, 3)
    return x


def ctrl_c_at(*numbers, objective=value):
    """Return an objective that is interrupted the first time that it runs each of the trials."""
    left = set(numbers)

    def interrupted(trial):
        if trial.number in left:
            left.remove(trial.number)
            os.kill(os.getpid(), signal.SIGINT)
        return objective(trial)

    return interrupted


def killed_at(number, path, copy, objective=value):
    """Return an objective that leaves a copy of the journal as a kill in that trial would."""

    def killed(trial):
        result = objective(trial)
        if trial.number == number:
            for suffix in ("", "-wal"):
                shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
        return result

    return killed


def trials(study):
    """Return what a search is about, trial by trial."""
    return [
        (
            trial.number,
            trial.state,
            dict(trial.params),
            trial.objectives,
            trial.intermediate,
            trial.seed,
            trial.retry_of,
        )
        for trial in study.trials
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


# To the same total.


def test_resume_starts_a_study_that_there_is_not_and_goes_on_to_the_total(path):
    assert len(search(value, path, n_trials=4).trials) == 4
    ran = []

    def objective(trial):
        ran.append(trial.number)
        return value(trial)

    assert search(objective, path, n_trials=9).counts()["complete"] == 9
    assert ran == [4, 5, 6, 7, 8]
    assert len(search(objective, path, n_trials=9).trials) == 9
    assert len(search(objective, path, n_trials=3).trials) == 9
    assert ran == [4, 5, 6, 7, 8]


def test_ctrl_c_keeps_the_history_and_resume_runs_the_trial_again(path):
    objective = ctrl_c_at(5)
    with pytest.raises(SearchInterrupted) as caught:
        search(objective, path, seed=3)
    stopped = caught.value.study
    assert stopped.counts() == {"running": 0, "complete": 5, "pruned": 0, "failed": 1}
    assert str(load(path).trials[5].error) == "Interrupted: KeyboardInterrupt: "
    study = search(objective, path)
    assert study.seed == 3
    assert study.counts()["complete"] == 12
    assert [trial.number for trial in study.trials] == list(range(12))
    assert study.trials[5].params == stopped.trials[5].params
    assert trials(load(path)) == trials(study)


@pytest.mark.parametrize(
    ("objective", "space"), [(value, SPACE), (suggesting, None)], ids=["portable", "define-by-run"]
)
def test_an_interrupted_and_resumed_seeded_search_has_the_trials_of_an_uninterrupted_one(
    objective, space, path, tmp_path
):
    whole = search(objective, tmp_path / "whole.db", space, seed=7)
    interrupted = ctrl_c_at(0, 3, 4, 11, objective=objective)
    for _ in range(4):
        with pytest.raises(SearchInterrupted):
            search(interrupted, path, space, seed=7)
    assert trials(search(interrupted, path, space, seed=7)) == trials(whole)


def test_a_seed_that_was_drawn_is_taken_over(path, tmp_path):
    with pytest.raises(SearchInterrupted) as caught:
        search(ctrl_c_at(6), path)
    seed = caught.value.study.seed
    resumed = search(value, path)
    assert resumed.seed == seed
    assert trials(resumed) == trials(search(value, tmp_path / "whole.db", seed=seed))


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_a_pruner_goes_on_with_what_it_had_seen(pruner, path, tmp_path):
    def objective(trial):
        for step in range(1, 10):
            trial.report(trial["x"] + trial["n"] / step, step)
            if trial.should_prune():
                raise hpsearch.TrialPruned
        return trial["x"]

    whole = search(objective, tmp_path / "whole.db", n_trials=40, seed=1, pruner=pruner)
    with pytest.raises(SearchInterrupted):
        search(ctrl_c_at(20, objective=objective), path, n_trials=40, seed=1, pruner=pruner)
    resumed = search(objective, path, n_trials=40, seed=1, pruner=pruner)
    assert trials(resumed) == trials(whole)
    assert {trial.state for trial in resumed.trials[20:]} == {"complete", "pruned"}


def test_trials_that_ran_side_by_side_all_run_again(path):
    class Three(Executor):
        """Holds three trials, and runs the youngest first."""

        n_workers = 3

        def open(self, history, evaluate):
            self._history, self._evaluate, self._open = history, evaluate, []

        def submit(self, trial):
            self._open.append(trial)

        def wait(self):
            trial = self._open.pop()
            return trial, self._evaluate.run(trial, self._history.channel(trial))

        def close(self):
            pass

    objective = ctrl_c_at(6)
    with pytest.raises(SearchInterrupted) as caught:
        search(objective, path, executor=Three(), seed=1)
    assert [t.number for t in caught.value.study.trials if t.state == "failed"] == [0, 1, 6]
    study = search(objective, path, executor=Three())
    assert study.counts()["complete"] == 12
    assert [t.params for t in study.trials[:7]] == [t.params for t in caught.value.study.trials]


# As a kill leaves it.


def test_a_trial_that_was_killed_runs_again_with_its_parameters_and_without_its_reports(
    path, tmp_path
):
    copy = tmp_path / "copy.db"

    def objective(trial):
        trial.report(trial["x"], 10 * len(ran))
        ran.append(trial.number)
        return value(trial)

    ran = []
    first = search(killed_at(3, path, copy, objective), path, n_trials=5)
    assert [t.state for t in load(copy).trials] == ["complete"] * 3 + ["running"]
    ran.clear()
    study = search(objective, copy, n_trials=5)
    assert ran == [3, 4]
    assert [t.params for t in study.trials] == [t.params for t in first.trials]
    assert study.trials[3].intermediate == {0: (study.trials[3]["x"],)}
    assert trials(load(copy)) == trials(study)


def test_a_define_by_run_trial_that_was_killed_gets_again_what_it_had_at_its_last_report(
    path, tmp_path
):
    copy = tmp_path / "copy.db"
    seen = []

    def objective(trial):
        seen.append((trial.number, trial.suggest_float("x", 0, 1)))
        trial.report(0.0, 0)
        return 0.0

    class Fickle(RandomBackend):
        """Draws something else each time, as an engine does that learns."""

        calls = 0

        @hpsearch.hookimpl
        def hpsearch_suggest_parameter(self, trial, name, distribution):
            Fickle.calls += 1
            return trial.fixed.get(name, 1 / Fickle.calls)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpsearch.builtin.random.RandomBackend", Fickle)
        search(killed_at(2, path, copy, objective), path, None, n_trials=3)
        search(objective, copy, None, n_trials=4)
    assert [number for number, _ in seen] == [0, 1, 2, 2, 3]
    assert seen[2] == seen[3]


# On another backend, and with a space of another kind.


@pytest.mark.parametrize("first", ["random", "grid"])
def test_a_grid_goes_on_with_the_points_that_nobody_has_tried(first, path):
    before = search(value, path, GRID, backend=first, n_trials=4, seed=1)
    tried = {tuple(trial.params.values()) for trial in before.trials}
    study = search(value, path, GRID, backend="grid", n_trials=None)
    new = [tuple(trial.params.values()) for trial in study.trials[4:]]
    assert len(new) == len(set(new)) == 9 - len(tried)
    assert not set(new) & tried
    assert load(path).backend == "grid"


@pytest.mark.parametrize(("one", "other"), [("random", "optuna"), ("optuna", "random")])
def test_a_study_changes_between_the_built_in_backends_and_optuna(one, other, path):
    pytest.importorskip("hpsearch_optuna")
    with pytest.raises(SearchInterrupted) as caught:
        search(ctrl_c_at(8), path, backend=one, seed=1)
    study = search(value, path, backend=other)
    assert study.counts()["complete"] == 12
    assert trials(study)[:8] == trials(caught.value.study)[:8]
    assert study.trials[8].params == caught.value.study.trials[8].params
    assert len({trial["x"] for trial in study.trials}) == 12


@pytest.mark.parametrize("backend", ["random", "optuna"])
def test_a_define_by_run_study_goes_on_where_the_space_is_read_beforehand(backend, path, tmp_path):
    pytest.importorskip("hpsearch_optuna")

    def space(trial):
        if trial.suggest_categorical("a", ["u", "v"]) == "u":
            trial.suggest_int("n", 1, 3)

    copy = tmp_path / "copy.db"
    search(killed_at(2, path, copy), path, space, backend=backend, n_trials=3)
    study = search(value, copy, space, backend="grid", n_trials=None)
    points = {tuple(trial.params.items()) for trial in study.trials}
    assert points == {(("a", "u"), ("n", 1)), (("a", "u"), ("n", 2)), (("a", "u"), ("n", 3))} | {
        (("a", "v"),)
    }
    assert trials(load(copy)) == trials(study)


def test_a_trial_that_was_killed_between_two_suggestions_starts_afresh_on_a_grid(path, tmp_path):
    copy = tmp_path / "copy.db"

    def objective(trial):
        trial.suggest_categorical("a", ["u", "v", "w"])
        trial.report(0.0, 0)
        if trial.number == 1:
            for suffix in ("", "-wal"):
                shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
        return float(trial.suggest_int("n", 1, 3))

    search(objective, path, None, n_trials=2, seed=1)
    assert set(load(copy).trials[1].params) == {"a"}
    study = search(value, copy, GRID, backend="grid", n_trials=None)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == len(study.trials) == 9


def test_a_portable_study_goes_on_define_by_run_and_is_described_as_such(path):
    search(value, path, n_trials=3, seed=1)
    study = search(suggesting, path, None, n_trials=6)
    assert [dict(t.distributions) for t in study.trials[:3]] == [SPACE] * 3
    again = load(path)
    assert again.space is None
    assert trials(again) == trials(study)
    assert [t.distributions for t in again.trials] == [t.distributions for t in study.trials]
    # And back: every trial has to lie in the space that is given then.
    with pytest.raises(JournalError, match="is not in the space given: parameter"):
        search(value, path, {**SPACE, "x": Float(0, 2)}, n_trials=7)


def test_a_define_by_run_study_whose_trials_are_not_in_the_space_given_cannot_go_on(path):
    search(suggesting, path, None, n_trials=6, seed=1)
    with pytest.raises(JournalError, match="trial 0 of the study .* is not in the space given"):
        search(value, path, {"y": Int(1, 2)})


# Only the same study goes on.


OPTIMIZERS: dict[str, Any] = {
    "opt": Categorical(["adam", "sgd"]),
    "momentum": Float(0, 1),
    "c": Categorical([1, 2]),
}
ONLY_SGD = {"momentum": when(opt="sgd")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction": "maximize"}, "its directions are 'minimize', not 'maximize'"),
        ({"direction": ["minimize"] * 2}, "directions are 'minimize', not 'minimize', 'minimize'"),
        ({"seed": 2}, "its seed is 1, not 2"),
        (
            {"space": {"c": Categorical([1, 2])}},
            "space has parameter 'opt', and the given one does not",
        ),
        ({"space": {**OPTIMIZERS, "new": Int(1, 2)}}, "has no parameter 'new', and the one given"),
        ({"space": {**OPTIMIZERS, "momentum": Float(0, 2)}}, "'momentum' is a float from 0.* to 1"),
        ({"space": {**OPTIMIZERS, "momentum": Int(0, 1)}}, "'momentum' is a float .*, not an int"),
        (
            {"space": {**OPTIMIZERS, "c": Categorical([1.0, 2])}},
            "is one of 1, 2, not one of 1.0, 2",
        ),
        ({"space": Space(OPTIMIZERS)}, "parameter 'momentum' has another condition"),
    ],
)
def test_a_study_of_another_kind_is_refused_and_left_alone(change, message, path):
    before = search(value, path, Space(OPTIMIZERS, ONLY_SGD), n_trials=3, seed=1)
    content = path.read_bytes()
    if isinstance(change.get("space"), dict) and "momentum" in change["space"]:
        change = {"space": Space(change["space"], ONLY_SGD)}
    with pytest.raises(JournalError, match=message) as caught:
        search(value, path, **{"space": Space(OPTIMIZERS, ONLY_SGD), **change})
    assert "or another name=" in str(caught.value)
    assert path.read_bytes() == content
    assert trials(load(path)) == trials(before)


def test_a_space_written_in_another_way_is_the_same_space(path):
    search(value, path, {"x": Float(0, 1), "n": Int(1, 3)}, n_trials=2)
    study = search(value, path, {"n": Int(1, 3), "x": Float(0.0, 1.0)}, n_trials=4)
    assert study.counts()["complete"] == 4


def test_a_condition_given_as_a_set_is_the_same_in_every_process():
    program = "import hpsearch; print(hpsearch.when(opt=set('abcdef')))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(printed) == 1


def test_resume_without_a_storage_is_refused():
    with pytest.raises(hpsearch.HpsearchError, match="resume=True needs storage="):
        hpsearch.search(value, SPACE, backend="random", resume=True)


# Failures and retries.


def test_a_search_that_its_failures_ended_goes_on_when_the_code_is_mended(path):
    def broken(trial):
        raise ValueError("not yet")

    with pytest.raises(SearchFailedError):
        search(broken, path, n_trials=4)
    study = search(value, path, n_trials=4)
    assert study.counts() == {"running": 0, "complete": 3, "pruned": 0, "failed": 1}
    assert study.trials[0].error.type == "ValueError"


def test_a_retry_that_had_not_started_is_run_and_none_too_many(path, tmp_path):
    copy = tmp_path / "copy.db"

    def objective(trial):
        if trial["x"] < 0.5:
            raise ValueError("unlucky")
        return value(trial)

    def run(function, where):
        return search(function, where, n_trials=8, seed=1, retries=2, catch=ValueError)

    whole = run(objective, tmp_path / "whole.db")
    failed = next(t.number for t in whole.trials if t.state == "failed")
    retry = next(t.number for t in whole.trials if t.retry_of == failed)
    # In the trial itself, after it, and in its retry.
    for number in (failed, failed + 1, retry, len(whole.trials) - 1):
        with pytest.raises(SearchInterrupted):
            run(ctrl_c_at(number, objective=objective), copy)
    assert trials(run(objective, copy)) == trials(whole)


def test_interrupts_never_count_as_deaths(path, tmp_path):
    copy = tmp_path / "copy.db"
    for _ in range(5):
        with pytest.raises(SearchInterrupted):
            search(ctrl_c_at(2), path)
    search(killed_at(2, path, copy), path)
    assert search(value, copy).counts()["complete"] == 12


def test_an_error_in_a_plugin_never_counts_as_a_death(path, caplog):
    class Broken(RandomBackend):
        @hpsearch.hookimpl
        def hpsearch_report(self, trial):
            if trial.number == 2:
                raise RuntimeError("lost")

    def report(trial):
        trial.report(0.0, 0)
        return value(trial)

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.CRITICAL):
        patch.setattr("hpsearch.builtin.random.RandomBackend", Broken)
        for _ in range(4):
            with pytest.raises(BackendError, match="failed in hpsearch_report: RuntimeError: lost"):
                search(report, path)
            assert load(path).trials[2].state == "running"
    study = search(value, path)
    assert study.counts()["complete"] == 12


def test_an_error_after_an_interrupt_is_not_taken_for_a_lost_journal(path, caplog):
    class Broken(hpsearch.pruners.Pruner):
        def should_prune(self, *_):
            raise RuntimeError("lost")

    def report(trial):
        trial.report(0.0, 0)
        return value(trial)

    with pytest.raises(SearchInterrupted):
        search(ctrl_c_at(2), path)
    with pytest.raises(BackendError, match="pruner Broken failed in hpsearch_report"):
        search(report, path, pruner=Broken())
    assert "deleted or replaced" not in caplog.text
    assert search(value, path).counts()["complete"] == 12


# Enqueued trials.

QUEUE = [{"x": 0.1, "n": 1}, {"x": 0.2, "n": 2}, {"x": 0.3, "n": 3}]


@pytest.mark.parametrize("again", [QUEUE, []], ids=["enqueued again", "not given again"])
@pytest.mark.parametrize("stopped", [0, 1, 5])
def test_enqueued_trials_are_run_once_however_often_the_search_is_resumed(stopped, again, path):
    with pytest.raises(SearchInterrupted):
        search(ctrl_c_at(stopped), path, enqueue=QUEUE, seed=1)
    study = search(value, path, enqueue=again)
    assert [trial["x"] for trial in study.trials if trial["x"] in (0.1, 0.2, 0.3)] == [
        0.1,
        0.2,
        0.3,
    ]
    assert [dict(trial.params) for trial in study.trials[:3]] == QUEUE
    assert study.counts()["complete"] == 12


def test_an_enqueued_trial_waits_for_a_total_that_has_room(path):
    with pytest.raises(SearchInterrupted):
        search(ctrl_c_at(0), path, n_trials=3, enqueue=QUEUE)
    assert len(search(value, path, n_trials=1).trials) == 1
    assert [t.state for t in load(path).trials] == ["complete"]
    study = search(value, path, n_trials=5)
    assert [trial["x"] for trial in study.trials[:3]] == [0.1, 0.2, 0.3]


def test_more_can_be_enqueued_when_a_study_goes_on(path):
    search(value, path, n_trials=4, enqueue=QUEUE[:1])
    study = search(value, path, n_trials=8, enqueue=[*QUEUE[:2], QUEUE[0]])
    assert [trial["x"] for trial in study.trials if trial.fixed] == [0.1, 0.2, 0.1]
    assert [trial.number for trial in study.trials if trial.fixed] == [0, 4, 5]


def test_a_retry_of_an_enqueued_trial_is_not_taken_for_another_one(path):
    def objective(trial):
        if trial.number == 0:
            raise ValueError("once")
        return value(trial)

    study = search(
        objective, path, enqueue=QUEUE[:2], retries=1, max_failures=5, n_trials=2, seed=1
    )
    assert [(t["x"], t.retry_of) for t in study.trials] == [(0.1, None), (0.2, None), (0.1, 0)]
    again = search(objective, path, enqueue=[*QUEUE[:2], QUEUE[0]], retries=1, n_trials=4)
    assert [(t["x"], t.retry_of) for t in again.trials[3:4]] == [(0.1, None)]
    assert len(again.trials) == 5


def test_what_is_enqueued_is_checked_before_anything_is_opened(path):
    with pytest.raises(SpaceError, match="parameter 'n' is missing"):
        search(value, path, enqueue=[{"x": 0.1}])
    assert not path.exists()
