"""``hpsearch.search``: what it returns, what it refuses before the first trial, how it ends."""

from __future__ import annotations

import gc
import logging
import time
import weakref

import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Space, hookimpl, when
from hpsearch.errors import (
    ArgumentError,
    BackendNotFoundError,
    CapabilityError,
    OptionError,
    SpaceError,
)

SPACE = {"x": Float(-10, 10), "n": Int(1, 4)}


def square(trial):
    return (trial["x"] - 2) ** 2 + trial["n"]


def refused(trial):
    pytest.fail("a trial ran")


def search(objective=square, space=SPACE, **options):
    settings = {
        "backend": "random",
        "n_trials": 10,
        "seed": 1,
        "progress": False,
        **options,
    }
    return hpsearch.search(objective, space, **settings)


def test_a_search_returns_the_best_run_of_its_history():
    study = search(n_trials=30)
    assert len(study.trials) == 30
    best = min(study.trials, key=square)
    assert study.best == (str(best.number), square(best), dict(best), None)
    assert study.best.trial is best
    assert study.best.study is study
    assert study.best.checkpoint is None
    assert study.best_runs == [study.best]


def test_maximize_is_the_other_way_round():
    study = search(direction="maximize")
    assert study.best.objective == max(trial.objective for trial in study.trials)


def test_the_same_seed_gives_the_same_trials_and_another_seed_others():
    drawn = [[dict(t) for t in search(seed=seed).trials] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_a_search_without_a_seed_draws_one_and_records_it():
    first = search(seed=None)
    again = search(seed=first.seed)
    assert [dict(t) for t in again.trials] == [dict(t) for t in first.trials]
    assert search(seed=None).seed != first.seed


def test_several_directions_give_the_pareto_front():
    study = search(
        lambda t: (t["x"], t["x"] + t["n"]), direction=["minimize", "maximize"], n_trials=40
    )
    front = study.best_runs
    assert len(front) > 1
    assert all(isinstance(run.objective, list) for run in front)
    for run in front:
        assert not any(
            t.objectives[0] <= run.objective[0]
            and t.objectives[1] >= run.objective[1]
            and list(t.objectives) != run.objective
            for t in study.trials
        )
    with pytest.raises(hpsearch.HpsearchError, match="2 directions and no single best run"):
        _ = study.best


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"direction": "minimise"},
            ArgumentError,
            r"'minimise' is unknown. Did you mean 'minimize'",
        ),
        ({"direction": []}, ArgumentError, "direction is empty"),
        ({"direction": 3}, ArgumentError, "direction is 3, expected 'minimize' or"),
        ({"plugins": 3}, ArgumentError, "plugins is 3, expected a list"),
        ({"enqueue": {"x": 1.0}}, ArgumentError, "enqueue is {'x': 1.0}, expected a list"),
        (
            {"executor": 3},
            ArgumentError,
            "executor is 3, expected a name such as 'process', or an object",
        ),
        ({"progress": "yes"}, ArgumentError, "progress is 'yes', expected True or False"),
        ({"resume": 1}, ArgumentError, "resume is 1, expected True or False"),
        ({"storage": 3}, ArgumentError, "storage is of type int, expected the path of a journal"),
        ({"objective": 3}, ArgumentError, "objective is 3, expected a function of the trial"),
        ({"catch": 3}, ArgumentError, "catch has 3, expected subclasses of Exception"),
        ({"n_trials": 0}, ArgumentError, "n_trials is 0, expected a whole number of at least 1"),
        ({"n_trials": 2.0}, ArgumentError, "n_trials is 2.0"),
        ({"n_trials": True}, ArgumentError, "n_trials is True"),
        (
            {"timeout": 0},
            ArgumentError,
            "timeout is 0, expected a finite number of seconds above 0",
        ),
        ({"timeout": float("nan")}, ArgumentError, "timeout is nan"),
        ({"timeout": "1h"}, ArgumentError, "timeout is '1h'"),
        ({"seed": -1}, ArgumentError, "seed is -1"),
        ({"seed": 2**32}, ArgumentError, r"below 4294967296"),
        ({"seed": "1"}, ArgumentError, "seed is '1'"),
        ({"executor": "inlin"}, ArgumentError, "'inlin' is unknown. Did you mean 'inline'"),
        ({"n_workers": 2}, ArgumentError, "n_workers is 2, and the inline executor runs one"),
        ({"n_workers": 0}, ArgumentError, "n_workers is 0"),
        ({"resume": True}, ArgumentError, "resume=True needs storage="),
        ({"pruner": "medain"}, ArgumentError, "medain.*Did you mean 'median'"),
        ({"pruner": object()}, ArgumentError, "expected 'median', 'asha' or an hpsearch pruner"),
        ({"backend": "rnadom"}, BackendNotFoundError, "'rnadom'. Did you mean 'random'"),
        ({"backend": "nosuch"}, BackendNotFoundError, "pip install hpsearch-sigopt"),
        ({"backend": 3}, BackendNotFoundError, "backend is 3, expected a name"),
        ({"ntrials": 3}, OptionError, "no option 'ntrials'. Did you mean 'n_trials'"),
        ({"backend": "grid", "shufle": 1}, OptionError, "Did you mean 'shuffle'.*'shuffle'"),
        ({"backend": "grid", "shuffle": 1}, OptionError, "shuffle is 1, expected True or False"),
        ({"enqueue": [{"x": 1.0}]}, SpaceError, "parameter 'n' is missing"),
        ({"enqueue": [{"x": 1.0, "n": 9}]}, SpaceError, r"parameter 'n': 9 \(int\) is not"),
        (
            {"enqueue": [{"x": 1.0, "n": 1}] * 11},
            ArgumentError,
            "11 trials are enqueued and n_trials is 10",
        ),
        ({"direction": ["minimize"] * 2, "pruner": "median"}, ArgumentError, "several directions"),
    ],
)
def test_bad_input_gets_one_clear_error_before_the_first_trial(options, error, message):
    with pytest.raises(error, match=message):
        search(**{"objective": refused, **options})


@pytest.mark.parametrize("space", [3, {"x": (0, 1)}, {}, [], {"x": Float(0, 1), "y": 3}, "x"])
def test_something_that_is_no_space_is_refused(space):
    with pytest.raises((SpaceError, CapabilityError)):
        search(refused, space)


def test_a_grid_tries_every_point_once_and_ends():
    space = {"n": Int(1, 3), "opt": Categorical(["a", "b"]), "x": Float(0, 1, step=0.5)}
    study = search(lambda t: t["n"], space, backend="grid", n_trials=None)
    points = [tuple(trial.params.values()) for trial in study.trials]
    assert points == [(n, o, x) for n in (1, 2, 3) for o in "ab" for x in (0.0, 0.5, 1.0)]


def test_a_grid_of_a_conditional_space_has_no_double_points():
    space = Space(
        {"opt": Categorical(["adam", "sgd"]), "m": Int(1, 3), "k": Int(1, 2)},
        {"m": when(opt="sgd")},
    )
    study = search(lambda t: 0, space, backend="grid", n_trials=None)
    points = [tuple(sorted(trial.params.items())) for trial in study.trials]
    assert len(points) == len(set(points)) == 2 + 6


def test_a_shuffled_grid_is_the_same_grid_in_an_order_that_the_seed_decides():
    def order(**options):
        study = search(lambda t: 0, {"n": Int(1, 20)}, backend="grid", n_trials=None, **options)
        return [trial["n"] for trial in study.trials]

    shuffled = order(shuffle=True)
    assert shuffled != order() == sorted(shuffled)
    assert shuffled == order(shuffle=True) != order(shuffle=True, seed=2)


def test_a_grid_refuses_a_continuous_parameter_by_name():
    with pytest.raises(SpaceError, match="parameter 'x' is a float .* give it a step, or choices"):
        search(refused, backend="grid")


def test_a_grid_refuses_an_objective_that_suggests_by_itself():
    with pytest.raises(CapabilityError, match="needs the space before the first trial"):
        search(refused, None, backend="grid")


def test_enqueued_parameters_are_tried_first_and_by_a_grid_only_once():
    space = {"n": Int(1, 4)}
    study = search(lambda t: t["n"], space, backend="grid", n_trials=None, enqueue=[{"n": 3}])
    assert [trial["n"] for trial in study.trials] == [3, 1, 2, 4]


def test_an_earlier_trial_can_be_enqueued():
    earlier = search(
        space=lambda t: {"y": t.suggest_float("x", -10, 10)}, objective=lambda t: t["y"]
    )
    study = search(enqueue=[{**earlier.trials[3].params, "n": 1}], n_trials=1)
    again = search(enqueue=[study.trials[0]], n_trials=1)
    assert dict(again.trials[0]) == dict(study.trials[0]) == {"x": earlier.trials[3]["y"], "n": 1}


def test_an_objective_can_suggest_by_itself():
    def objective(trial):
        kind = trial.suggest_categorical("kind", ["line", "square"])
        x = trial.suggest_float("x", -1, 1)
        power = trial.suggest_int("power", 2, 4) if kind == "square" else 1
        assert trial["x"] == trial.params["x"] == x == trial.suggest_float("x", -1, 1)
        return x**power

    study = search(objective, None, n_trials=30)
    assert {tuple(trial.params) for trial in study.trials} == {
        ("kind", "x"),
        ("kind", "x", "power"),
    }
    assert study.trials[0].distributions["x"] == Float(-1, 1)
    again = search(objective, None, n_trials=30)
    assert [dict(t) for t in study.trials] == [dict(t) for t in again.trials]


def test_one_name_has_one_distribution():
    def objective(trial):
        trial.suggest_float("x", 0, 1)
        return trial.suggest_float("x", 0, 2)

    with pytest.raises(hpsearch.SearchFailedError) as failure:
        search(objective, None)
    assert "one name has one distribution" in str(failure.value.__cause__)


def test_a_define_by_run_trial_takes_enqueued_values_for_the_names_it_has():
    def objective(trial):
        return trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 100)

    study = search(objective, None, enqueue=[{"x": 0.25}], n_trials=2)
    assert study.trials[0]["x"] == 0.25
    assert study.trials[1]["x"] != 0.25
    with pytest.raises(SpaceError, match="parameter 'x' is set beforehand: 7.0"):
        search(objective, None, enqueue=[{"x": 7.0}])


def test_timeout_starts_no_further_trial():
    study = search(lambda t: time.sleep(0.4) or 1.0, n_trials=None, timeout=1.0)
    assert 1 <= len(study.trials) <= 3
    assert study.counts()["complete"] == len(study.trials)


@pytest.mark.parametrize("backend", ["random", "optuna", "sigopt", "wandb"])
def test_a_search_that_ends_without_a_trial_says_why(backend, caplog):
    options = {"mode": "disabled", "method": "random"} if backend == "wandb" else {}
    study = search(lambda t: pytest.fail("a trial ran"), backend=backend, timeout=1e-9, **options)
    assert not study.trials
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage() == (
        "study 'study' ended without a trial: the timeout of 1e-09 s was reached"
    )


def test_a_trial_can_stop_the_study():
    def objective(trial):
        if trial.number == 3:
            trial.stop_study()
        return 1.0

    assert len(search(objective).trials) == 4


def test_an_objective_can_prune():
    def objective(trial):
        trial.report(trial["x"], 0)
        if trial["x"] > 0:
            raise hpsearch.TrialPruned
        return trial["x"]

    study = search(objective, n_trials=30)
    assert {str(t.state) for t in study.trials} == {"pruned", "complete"}
    assert all((t.state == "pruned") == (t["x"] > 0) for t in study.trials)
    assert all(t.intermediate == {0: (t["x"],)} for t in study.trials)


def test_an_observer_can_prune():
    class Impatient:
        @hookimpl
        def hpsearch_report(self, step):
            return step >= 3

    def objective(trial):
        for step in range(10):
            trial.report(1.0, step)
            if trial.should_prune():
                raise hpsearch.TrialPruned
        return 1.0

    study = search(objective, plugins=[Impatient()])
    assert {max(trial.intermediate) for trial in study.trials} == {3}


def test_prepare_of_an_objective_is_called_once_and_may_refuse():
    class Objective:
        prepared = 0

        def prepare(self, study):
            self.prepared += 1
            if study.parameter_names != ("x", "n"):
                raise ArgumentError("the names are wrong")

        def __call__(self, trial):
            return trial["x"]

    objective = Objective()
    search(objective)
    assert objective.prepared == 1
    with pytest.raises(ArgumentError, match="the names are wrong"):
        search(objective, {"y": Float(0, 1)})


def test_facts_are_kept_with_a_trial_and_must_be_json():
    def objective(trial):
        trial.annotate("folder", {"path": f"run-{trial.id}"})
        if trial.number == 2:
            trial.annotate("model", object())
        return 1.0

    study = search(objective)
    assert study.trials[1].attrs == {"folder": {"path": "run-1"}}
    assert "the fact 'model' is <object" in study.trials[2].error.message
    assert study.trials[2].attrs == {"folder": {"path": "run-2"}}


def test_a_trial_that_has_ended_says_so():
    trials = []
    search(lambda trial: trials.append(trial) or 1.0, n_trials=1)
    with pytest.raises(
        hpsearch.HpsearchError, match="trial 0 has ended; it cannot talk to its study"
    ):
        trials[0].report(1.0, 0)


def test_the_backend_chosen_without_a_name_is_in_the_log(caplog):
    with caplog.at_level(logging.WARNING, logger="hpsearch"):
        search(backend=None, n_trials=1)
    assert "no backend was named; using backend 'optuna' (hpsearch-optuna" in caplog.text


def test_a_search_does_not_touch_the_global_random_state():
    import random

    random.seed(5)
    expected = random.random()
    random.seed(5)
    search()
    assert random.random() == expected


@pytest.mark.parametrize("backend", ["random", "optuna"])
def test_a_study_is_freed_as_soon_as_nobody_holds_it(backend):
    pytest.importorskip("hpsearch_optuna")
    search(backend=backend)
    gc.collect()
    gc.disable()
    try:
        study = search(backend=backend)
        left = [weakref.ref(study), weakref.ref(study.native or study)]
        del study
        assert [reference() for reference in left] == [None, None]
    finally:
        gc.enable()
