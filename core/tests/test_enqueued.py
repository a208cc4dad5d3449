"""What can be enqueued: whatever a search gave back, in any of its forms; and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Space
from hpsearch.errors import SpaceError

FORMS = {
    "best run": lambda study: study.best,
    "record": lambda study: study.best.trial,
    "hyperparameters": lambda study: study.best.hyperparameters,
    "what the objective got": lambda study: dict(study.best.trial),
    "parameters": lambda study: study.best.trial.params,
    "numpy": lambda study: {k: as_numpy(v) for k, v in study.best.trial.params.items()},
}


def as_numpy(value):
    return value if isinstance(value, str) else np.asarray(value)[()]


def run(objective, space, backend="random", **options):
    options = {"n_trials": 6, "seed": 1, "progress": False, **options}
    return hpsearch.search(objective, space, backend=backend, **options)


def derives(trial):
    layers = trial.suggest_int("layers", 1, 3)
    width = 2 ** trial.suggest_int("power", 1, 4)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return {"layers": layers, "kind": kind, "width": width, "sizes": [width] * layers}


GROUPS = Space({"net.x": Int(1, 4), "net.y": Float(0, 1), "z": Int(1, 3)}, groups=["net"])


def value(trial):
    return math.fsum(v for v in trial.params.values() if not isinstance(v, str))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", ["random", "optuna"])
def test_a_trial_with_derived_values_is_enqueued_in_any_form(form, backend):
    first = run(value, derives)
    again = run(value, derives, backend, enqueue=[FORMS[form](first)], n_trials=2)
    assert again.trials[0].params == first.best.trial.params
    assert dict(again.trials[0]) == dict(first.best.trial)
    assert again.trials[0].objective == first.best.objective


@pytest.mark.parametrize("form", FORMS)
def test_a_trial_with_derived_values_is_enqueued_where_the_space_is_read_beforehand(form):
    first = run(value, derives)
    again = run(value, derives, "grid", enqueue=[FORMS[form](first)], n_trials=2)
    assert again.trials[0].params == first.best.trial.params
    assert dict(again.trials[0]) == dict(first.best.trial)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", ["random", "optuna"])
def test_a_trial_of_a_space_with_groups_is_enqueued_in_any_form(form, backend):
    first = run(value, GROUPS)
    again = run(value, GROUPS, backend, enqueue=[FORMS[form](first)], n_trials=1)
    assert again.trials[0].params == first.best.trial.params
    assert again.trials[0]["net"] == {"x": again.trials[0]["net.x"], "y": again.trials[0]["net.y"]}


@pytest.mark.parametrize(
    "point",
    [
        {"net": {"x": 2, "y": 0.5}, "z": 1},
        {"net.x": 2, "net.y": 0.5, "z": 1},
        {"net": {"x": 2}, "net.y": 0.5, "z": 1},
        {"net": {"x": 2, "y": 0.5}, "net.x": 2, "net.y": 0.5, "z": 1},
        {"net": {"x": np.int64(2), "y": np.float64(0.5)}, "z": np.array(1)},
    ],
)
def test_groups_are_enqueued_nested_or_flat(point):
    study = run(value, GROUPS, enqueue=[point], n_trials=1)
    assert study.trials[0].params == {"net.x": 2, "net.y": 0.5, "z": 1}
    assert [type(v) for v in study.trials[0].params.values()] == [int, float, int]


def test_a_nested_value_that_contradicts_the_flat_one_is_refused():
    point = {"net": {"x": 2, "y": 0.5}, "net.x": 3, "z": 1}
    with pytest.raises(SpaceError, match=r"'net\.x'"):
        run(lambda trial: pytest.fail("a trial ran"), GROUPS, enqueue=[point])


def test_a_live_trial_is_enqueued_and_stays_what_it_was():
    kept = []
    first = run(lambda trial: kept.append(trial) or value(trial), GROUPS, n_trials=3)
    again = run(value, GROUPS, enqueue=[kept[1], first.trials[2]], n_trials=2)
    assert [t.params for t in again.trials] == [t.params for t in first.trials[1:]]


@pytest.mark.parametrize("backend", ["random", "optuna", "grid"])
def test_a_name_that_nobody_asks_for_is_named_with_the_nearest_one(backend):
    point = {"layers": 2, "power": 1, "kind": "a", "powre": 4}
    with pytest.raises(SpaceError, match="parameter 'powre' .*Did you mean 'power'"):
        run(value, derives, backend, enqueue=[point])


def test_a_misspelt_name_in_place_of_a_parameter_is_named_with_that_one():
    point = {"layers": 2, "powre": 4, "kind": "a", "width": 16}
    with pytest.raises(SpaceError, match="parameter 'powre' is not in .*Did you mean 'power'"):
        run(lambda trial: pytest.fail("a trial ran"), derives, "grid", enqueue=[point])


@pytest.mark.parametrize("form", ["best run", "record", "hyperparameters"])
def test_what_another_search_gave_back_is_refused_by_the_name_that_is_unknown_here(form):
    best = FORMS[form](run(value, GROUPS))
    space = Space({"net.x": Int(1, 4), "net.w": Float(0, 1), "z": Int(1, 3)}, groups=["net"])
    with pytest.raises(SpaceError, match="parameter 'net.y' is not in .*Did you mean 'net.x'"):
        run(lambda trial: pytest.fail("a trial ran"), space, enqueue=[best])


@pytest.mark.parametrize("backend", ["random", "optuna", "grid", "sigopt", "wandb", "ray"])
def test_a_name_that_is_not_in_a_known_space_is_refused_before_the_first_trial(backend):
    space = {"layers": Int(1, 3), "kind": Categorical(["a", "b"])}
    settings = {"wandb": {"method": "random", "mode": "disabled"}}.get(backend, {})
    with pytest.raises(SpaceError, match="parameter 'layrs' is not in .*Did you mean 'layers'"):
        run(
            lambda trial: pytest.fail("a trial ran"),
            space,
            backend,
            enqueue=[{"layers": 1, "kind": "a", "layrs": 1}],
            **settings,
        )


def test_a_misspelt_name_in_a_group_is_named_with_the_nearest_one():
    point = {"net": {"x": 2, "yy": 0.5}, "z": 1}
    with pytest.raises(SpaceError, match=r"net\.yy"):
        run(lambda trial: pytest.fail("a trial ran"), GROUPS, enqueue=[point])
