"""The same seed gives the same trials as Optuna alone: every parameter, value, report and state."""

from __future__ import annotations

import optuna
import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when

SPACE = {
    "lr": Float(1e-5, 1e-1, log=True),
    "momentum": Float(0.0, 1.0),
    "dropout": Float(0.0, 0.5, step=0.1),
    "layers": Int(1, 8),
    "units": Int(4, 512, log=True),
    "batch": Int(16, 128, step=16),
    "optimizer": Categorical(["sgd", "adam", "lion"]),
    "nesterov": Categorical([True, False, None]),
}
NUMBERS = {name: SPACE[name] for name in ("lr", "momentum", "layers")}


def suggest_all(trial):
    return {
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "momentum": trial.suggest_float("momentum", 0.0, 1.0),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
        "layers": trial.suggest_int("layers", 1, 8),
        "units": trial.suggest_int("units", 4, 512, log=True),
        "batch": trial.suggest_int("batch", 16, 128, step=16),
        "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam", "lion"]),
        "nesterov": trial.suggest_categorical("nesterov", [True, False, None]),
    }


def suggest_numbers(trial):
    return {
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "momentum": trial.suggest_float("momentum", 0.0, 1.0),
        "layers": trial.suggest_int("layers", 1, 8),
    }


def loss(params):
    return (
        abs(params["lr"] - 0.01)
        + params["momentum"] ** 2
        + round(params.get("dropout", 0), 1)  # Optuna alone draws 0.30000000000000004.
        + (params["layers"] - 3) ** 2
        + (params.get("optimizer") == "lion")
    )


def raw(objective, n_trials=30, directions=("minimize",), sampler=None, pruner=None):
    study = optuna.create_study(
        sampler=sampler or optuna.samplers.TPESampler(seed=7),
        pruner=pruner,
        directions=list(directions),
    )
    study.optimize(objective, n_trials=n_trials, catch=(ArithmeticError,))
    return study


def search(objective, space, **options):
    defaults = {"backend": "optuna", "n_trials": 30, "seed": 7, "progress": False}
    return hpsearch.search(objective, space, **{**defaults, **options})


STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def in_decimals(params):
    """Return Optuna's parameters as the study has them: on steps of 0.1, 3 * 0.1 is 0.3."""
    return {name: round(x, 1) if name == "dropout" else x for name, x in params.items()}


def assert_same(study, native):
    """Compare our history, and the Optuna study behind it, with one run by Optuna alone."""
    assert len(study.trials) == len(native.trials)
    for ours, behind, alone in zip(study.trials, study.native.trials, native.trials, strict=True):
        assert behind.params == alone.params
        assert ours.params == in_decimals(alone.params)
        assert list(map(type, ours.params.values())) == list(map(type, alone.params.values()))
        assert ours.number == behind.number == alone.number
        assert behind.values == alone.values
        assert behind.state == alone.state
        assert ours.state == STATES[alone.state.name]
        assert behind.intermediate_values == alone.intermediate_values
        assert behind.distributions == alone.distributions
        if ours.state == "complete":
            assert list(ours.objectives) == alone.values


SAMPLERS = {
    "default": lambda: None,
    "tpe": lambda: optuna.samplers.TPESampler(seed=7),
    "tpe multivariate": lambda: optuna.samplers.TPESampler(seed=7, multivariate=True),
    "random": lambda: optuna.samplers.RandomSampler(seed=7),
    "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=7, population_size=8),
    "qmc": lambda: optuna.samplers.QMCSampler(seed=7),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_portable_space_gets_the_trials_of_optuna_alone(name):
    native = raw(lambda trial: loss(suggest_all(trial)), sampler=SAMPLERS[name]())
    assert_same(search(loss, SPACE, sampler=SAMPLERS[name]()), native)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_define_by_run_function_gets_the_trials_of_optuna_alone(name):
    native = raw(lambda trial: loss(suggest_all(trial)), sampler=SAMPLERS[name]())
    assert_same(search(loss, suggest_all, sampler=SAMPLERS[name]()), native)


def test_an_objective_that_suggests_gets_the_trials_of_optuna_alone():
    def objective(trial):
        return loss(suggest_all(trial))

    assert_same(search(objective, None), raw(objective))


@pytest.mark.parametrize("space", [NUMBERS, suggest_numbers], ids=["portable", "define-by-run"])
def test_cma_es_gives_the_trials_of_optuna_alone(space):
    pytest.importorskip("cmaes")

    def sampler():
        return optuna.samplers.CmaEsSampler(seed=7, n_startup_trials=5)

    native = raw(lambda trial: loss(suggest_numbers(trial)), sampler=sampler(), n_trials=60)
    assert_same(search(loss, space, sampler=sampler(), n_trials=60), native)


def branching(trial):
    params = {"optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam"])}
    if params["optimizer"] == "sgd":
        params["momentum"] = trial.suggest_float("momentum", 0.0, 1.0)
    for layer in range(trial.suggest_int("layers", 1, 3)):
        params[f"units_{layer}"] = trial.suggest_int(f"units_{layer}", 4, 64, log=True)
    return params


BRANCHING = Space(
    {
        "optimizer": Categorical(["sgd", "adam"]),
        "momentum": Float(0.0, 1.0),
        "layers": Int(1, 3),
        "units_0": Int(4, 64, log=True),
        "units_1": Int(4, 64, log=True),
        "units_2": Int(4, 64, log=True),
    },
    {
        "momentum": when(optimizer="sgd"),
        "units_1": when(layers=[2, 3]),
        "units_2": when(layers=3),
    },
)


def size(params):
    units = sum(value for name, value in params.items() if name.startswith("units"))
    return units - params.get("momentum", 2.0)


@pytest.mark.parametrize("space", [branching, BRANCHING], ids=["define-by-run", "conditions"])
def test_branches_get_the_trials_of_optuna_alone(space):
    native = raw(lambda trial: size(branching(trial)), n_trials=40)
    study = search(size, space, n_trials=40)
    assert_same(study, native)
    assert len({frozenset(trial.params) for trial in study.trials}) > 3


def pruned_loss(params, trial):
    for step in range(10):
        value = loss(params) + 10 / (step + 1)
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss(params)


PRUNERS = {
    "default": lambda: None,
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1),
    "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1),
    "threshold": lambda: optuna.pruners.ThresholdPruner(upper=15.0),
    "nop": lambda: optuna.pruners.NopPruner(),
}


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("space", [SPACE, suggest_all], ids=["portable", "define-by-run"])
def test_pruning_is_that_of_optuna_alone(name, space):
    native = raw(lambda trial: pruned_loss(suggest_all(trial), trial), pruner=PRUNERS[name]())
    study = search(lambda trial: pruned_loss(trial, trial), space, pruner=PRUNERS[name]())
    assert_same(study, native)
    assert (study.counts()["pruned"] == 0) == (name == "nop")


def test_hyperband_prunes_as_in_optuna_alone():
    # Its brackets depend on the study's name.
    def pruner():
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=10, reduction_factor=3)

    native = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=7), pruner=pruner(), study_name="same"
    )
    native.optimize(lambda trial: pruned_loss(suggest_all(trial), trial), n_trials=30)
    study = search(
        lambda trial: pruned_loss(trial, trial), SPACE, pruner=pruner(), study_name="same"
    )
    assert_same(study, native)
    assert study.counts()["pruned"]


@pytest.mark.parametrize("sampler", [None, "nsga2"])
@pytest.mark.parametrize("space", [SPACE, suggest_all], ids=["portable", "define-by-run"])
def test_several_directions_get_the_trials_of_optuna_alone(space, sampler):
    def both(params):
        return loss(params), params["units"]

    native = optuna.create_study(directions=["minimize", "maximize"])
    default = type(native.sampler)
    native.sampler = SAMPLERS[sampler]() if sampler else default(seed=7)
    native.optimize(lambda trial: both(suggest_all(trial)), n_trials=40)
    study = search(
        both,
        space,
        n_trials=40,
        direction=["minimize", "maximize"],
        sampler=SAMPLERS[sampler]() if sampler else None,
    )
    assert_same(study, native)
    front = sorted(tuple(trial.values) for trial in native.best_trials)
    assert sorted(tuple(run.objective) for run in study.best_runs) == front
    assert len(front) > 1


def test_failures_are_those_of_optuna_alone():
    def failing(params):
        if params["layers"] % 3 == 0:
            raise ArithmeticError("three")
        return loss(params)

    native = raw(lambda trial: failing(suggest_all(trial)))
    study = search(failing, SPACE, catch=ArithmeticError)
    assert_same(study, native)
    assert study.counts()["failed"] > 2


def test_enqueued_trials_are_those_of_optuna_alone():
    first = {**search(loss, SPACE, n_trials=1, seed=99).best.hyperparameters}
    native = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=7))
    native.enqueue_trial(first)
    native.optimize(lambda trial: loss(suggest_all(trial)), n_trials=30)
    for space in (SPACE, suggest_all):
        study = search(loss, space, enqueue=[first])
        assert study.trials[0].params == first
        assert_same(study, native)


def test_a_partly_enqueued_trial_is_completed_as_by_optuna_alone():
    native = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=7))
    native.enqueue_trial({"layers": 5})
    native.optimize(lambda trial: loss(suggest_all(trial)), n_trials=15)
    study = search(loss, suggest_all, enqueue=[{"layers": 5}], n_trials=15)
    assert study.trials[0]["layers"] == 5
    assert_same(study, native)
