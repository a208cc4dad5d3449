"""CMA-ES keeps the contract of a backend, and finds an optimum that random search does not."""

from __future__ import annotations

import math

import cmaes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hpsearch
from hpsearch import Categorical, Float, Int
from hpsearch.errors import OptionError, SpaceError
from hpsearch.testing import BackendConformance
from hpsearch_cmaes.backend import Axis, CmaesOptions


class TestCmaes(BackendConformance):
    backend = "cmaes"
    refuses = frozenset({"categorical", "categorical-mixed", "categorical-single"})
    bad_options = {"sigma": 0.0, "population_size": 3}


def rosenbrock(trial):
    return (1 - trial["x"]) ** 2 + 100 * (trial["y"] - trial["x"] ** 2) ** 2


VALLEY = {"x": Float(-2, 2), "y": Float(-1, 3)}


def search(objective, space, **options):
    options = {"backend": "cmaes", "seed": 1, "progress": False, **options}
    return hpsearch.search(objective, space, **options)


def test_a_curved_valley_is_followed_to_its_end():
    found = search(rosenbrock, VALLEY, n_trials=600).best.objective
    drawn = search(rosenbrock, VALLEY, n_trials=600, backend="random").best.objective
    assert found < 1e-9 < 1e-3 < drawn


def test_the_trials_are_those_of_cmaes_itself():
    trials = search(rosenbrock, VALLEY, n_trials=60).trials
    engine = cmaes.CMAwM(
        np.full(2, 0.5), 0.25, bounds=np.array([[0.0, 1.0]] * 2), steps=np.zeros(2)
    )
    generation = []
    for trial in trials:
        engine.reseed_rng(trial.seed)
        point, raw = engine.ask()
        assert dict(trial) == {"x": -2 + 4 * point[0], "y": -1 + 4 * point[1]}
        generation.append((raw, trial.objective))
        if len(generation) == engine.population_size:
            engine.tell(generation)
            generation = []


def test_integers_log_scales_and_steps_are_optimised_together():
    space = {"n": Int(1, 100), "lr": Float(1e-6, 1, log=True), "p": Float(0, 1, step=0.1)}

    def objective(trial):
        return abs(trial["n"] - 70) / 100 + abs(math.log10(trial["lr"]) + 3) + abs(trial["p"] - 0.8)

    best = search(objective, space, n_trials=300).best.hyperparameters
    assert best["n"] == 70
    assert best["p"] == pytest.approx(0.8)
    assert best["lr"] == pytest.approx(1e-3, rel=0.01)


def test_a_category_is_refused_with_what_to_use_instead():
    space = {"kind": Categorical(["a", "b"])}
    with pytest.raises(SpaceError, match="'kind' is one of 'a', 'b'; CMA-ES searches numbers"):
        search(lambda trial: 0.0, space)


def test_a_search_without_slopes_starts_over_instead_of_stalling():
    study = search(lambda trial: 0.0, {"x": Float(0, 1)}, n_trials=400)
    assert len({trial["x"] for trial in study.trials[-50:]}) == 50


@pytest.mark.parametrize(("option", "value"), [("sigma", math.nan), ("population_size", 0)])
def test_a_bad_option_is_refused_by_name(option, value):
    with pytest.raises(OptionError, match=f"{option} is {value}"):
        CmaesOptions(**{option: value})


bounds = st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)).map(lambda p: (p[0], p[0] + p[1]))


@given(bounds=bounds, log=st.booleans(), data=st.data())
def test_every_integer_has_a_position_and_comes_back_from_it(bounds, log, data):
    axis = Axis("n", Int(*bounds, log=log))
    value = data.draw(st.integers(*bounds))
    assert axis.value_at(axis.position_of(value)) == value


@given(bounds=bounds, log=st.booleans(), position=st.floats(0, 1))
def test_every_position_is_a_value_within_the_bounds(bounds, log, position):
    for distribution in (Float(*map(float, bounds), log=log), Int(*bounds, log=log)):
        value = Axis("x", distribution).value_at(position)
        assert distribution.validate(value) == value
        assert type(value) is (float if isinstance(distribution, Float) else int)
