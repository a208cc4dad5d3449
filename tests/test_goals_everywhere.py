"""The goal that a W&B sweep or a SigOpt experiment states is the direction, on every backend."""

from __future__ import annotations

from typing import Any

import pytest

import hpsearch
from hpsearch.errors import ArgumentError

BACKENDS = ("optuna", "sigopt", "ray", "wandb", "random", "grid")

pytestmark = pytest.mark.usefixtures("ray_running", "engines_at_rest")


def sweep(goal: str) -> dict[str, Any]:
    return {
        "method": "random",
        "metric": {"name": "score", "goal": goal},
        "parameters": {"x": {"min": 1, "max": 9}},
    }


def experiment(goal: str) -> dict[str, Any]:
    return {
        "parameters": [{"name": "x", "type": "int", "bounds": {"min": 1, "max": 9}}],
        "metrics": [{"name": "score", "objective": goal}],
    }


WRITTEN = {"wandb": sweep, "sigopt": experiment}


def search(space: Any, backend: str, **options: Any) -> Any:
    its_own: dict[str, dict[str, Any]] = {"ray": {"n_workers": 1}}
    if backend == "wandb" and not (isinstance(space, dict) and "method" in space):
        its_own["wandb"] = {"method": "random"}
    return hpsearch.search(
        lambda trial: float(trial["x"]),
        space,
        backend=backend,
        n_trials=4,
        seed=1,
        progress=False,
        **{**its_own.get(backend, {}), **options},
    )


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dialect", WRITTEN)
def test_the_goal_is_the_direction_where_none_is_given(dialect, backend, goal):
    study = search(WRITTEN[dialect](goal), backend)
    assert study.directions == (goal,)
    best = max if goal == "maximize" else min
    assert study.best.objective == best(trial.objective for trial in study.trials)
    assert len({trial.objective for trial in study.trials}) > 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dialect", WRITTEN)
def test_a_direction_that_contradicts_the_goal_is_refused(dialect, backend):
    said = "direction is minimize, and the space says maximize of its metric"
    with pytest.raises(ArgumentError, match=said):
        search(WRITTEN[dialect]("maximize"), backend, direction="minimize")
    agreed = search(WRITTEN[dialect]("maximize"), backend, direction="maximize")
    assert agreed.directions == ("maximize",)


@pytest.mark.parametrize("backend", ["optuna", "random"])
@pytest.mark.parametrize("dialect", WRITTEN)
def test_a_function_that_returns_a_sweep_has_its_goal(dialect, backend):
    study = search(lambda trial: WRITTEN[dialect]("maximize"), backend)
    assert study.directions == ("maximize",)


def test_several_metrics_of_an_experiment_are_several_directions():
    space = experiment("maximize")
    space["metrics"].append({"name": "cost", "objective": "minimize"})
    study = hpsearch.search(
        lambda trial: (trial["x"], trial["x"]),
        space,
        backend="random",
        n_trials=3,
        progress=False,
    )
    assert study.directions == ("maximize", "minimize")


def test_a_metric_that_is_stored_only_is_not_an_objective():
    space = experiment("maximize")
    space["metrics"].append({"name": "cost", "objective": "minimize", "strategy": "store"})
    assert search(space, "random").directions == ("maximize",)
