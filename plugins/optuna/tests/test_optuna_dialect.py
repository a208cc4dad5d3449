"""Optuna's spaces read and written: distributions by name, and define-by-run functions."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
import warnings

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.errors import SpaceError
from hpsearch.space import dialects
from hpsearch.space.explore import explore
from hpsearch_optuna.dialect import OptunaDialect
from hpsearch_optuna.space import from_optuna, to_optuna

NATIVE = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5, step=0.1),
    "momentum": FloatDistribution(0, 1),
    "layers": IntDistribution(1, 8),
    "units": IntDistribution(4, 512, log=True),
    "batch": IntDistribution(16, 128, step=16),
    "optimizer": CategoricalDistribution(["sgd", "adam", None, True, 2]),
}
PORTABLE = Space(
    {
        "lr": Float(1e-5, 1e-1, log=True),
        "dropout": Float(0.0, 0.5, step=0.1),
        "momentum": Float(0, 1),
        "layers": Int(1, 8),
        "units": Int(4, 512, log=True),
        "batch": Int(16, 128, step=16),
        "optimizer": Categorical(["sgd", "adam", None, True, 2]),
    }
)
CONDITIONAL = Space(
    {
        "optimizer": Categorical(["sgd", "adam", "lion"]),
        "nesterov": Categorical([True, False]),
        "momentum": Float(0, 1),
        "layers": Int(1, 3),
        "beta": Float(0.9, 0.999),
        "both": Int(1, 9),
    },
    {
        "nesterov": when(optimizer="sgd"),
        "momentum": when(nesterov=True),
        "beta": when(optimizer=["adam", "lion"]),
        "both": when(layers=[2, 3]) | when(optimizer="lion"),
    },
)


def test_distributions_by_name_are_read_and_written():
    assert dialects.read(NATIVE) == PORTABLE
    assert dialects.write(PORTABLE, "optuna") == NATIVE


@pytest.mark.parametrize("backend", ["optuna", "random"])
@pytest.mark.parametrize("space", [NATIVE, lambda trial: NATIVE], ids=["mapping", "function"])
def test_any_backend_searches_optunas_distributions(backend, space):
    study = hpsearch.search(
        lambda trial: trial["lr"], space, backend=backend, n_trials=3, seed=1, progress=False
    )
    assert study.space == PORTABLE


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.skipif(
    not hasattr(optuna.distributions, "LogUniformDistribution"), reason="gone from this Optuna"
)
def test_distributions_of_older_optunas_are_read():
    old = optuna.distributions
    read = dialects.read(
        {
            "uniform": old.UniformDistribution(0, 1),
            "log": old.LogUniformDistribution(1e-3, 1),
            "steps": old.DiscreteUniformDistribution(0, 1, 0.25),
            "int": old.IntUniformDistribution(1, 9, 2),
        }
    )
    assert read == Space(
        {
            "uniform": Float(0, 1),
            "log": Float(1e-3, 1, log=True),
            "steps": Float(0, 1, step=0.25),
            "int": Int(1, 9, step=2),
        }
    )


@pytest.mark.parametrize("other", [{}, {"lr": 0.1}, {**NATIVE, "x": Float(0, 1)}, [NATIVE["lr"]]])
def test_anything_else_is_not_recognised(other):
    assert not OptunaDialect().recognises(other)


@pytest.mark.filterwarnings("ignore:Choices for a categorical:UserWarning")
def test_a_choice_that_is_no_json_is_an_error_that_names_the_parameter():
    with pytest.raises(SpaceError, match=r"parameter 'layers': choice \(64, 32\)"):
        dialects.read({"layers": CategoricalDistribution([(64, 32), (32,)])})


def test_a_space_with_conditions_is_written_as_a_function_that_reads_back():
    function = dialects.write(CONDITIONAL, "optuna")
    assert explore(function) == CONDITIONAL
    assert explore(pickle.loads(pickle.dumps(function))) == CONDITIONAL
    assert "DefineByRun(Space(" in repr(function)


def test_a_written_function_runs_on_optuna_alone():
    function = dialects.write(CONDITIONAL, "optuna")
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    study.optimize(lambda trial: len(function(trial)), n_trials=30)
    for trial in study.trials:
        CONDITIONAL.validate(trial.params)


def test_an_explored_function_gets_the_same_trials_as_where_it_runs_by_itself():
    function = dialects.write(CONDITIONAL, "optuna")
    options = {"backend": "optuna", "n_trials": 20, "seed": 3, "progress": False}
    read = hpsearch.search(len, explore(function), **options)
    ran = hpsearch.search(len, function, **options)
    assert [trial.params for trial in read.trials] == [trial.params for trial in ran.trials]


# Every distribution there is.

numbers = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)
floats = st.tuples(numbers, numbers).map(lambda pair: Float(min(pair), max(pair)))
logs = st.tuples(st.floats(1e-8, 1), st.floats(1, 1e8)).map(lambda pair: Float(*pair, log=True))
steps = st.tuples(
    st.decimals(-100, 100, places=4), st.decimals("0.0001", 10, places=4), st.integers(0, 40)
).map(lambda t: Float(float(t[0]), float(t[0]) + t[2] * float(t[1]), step=float(t[1])))
ints = st.tuples(st.integers(-50, 50), st.integers(0, 20), st.integers(1, 7)).map(
    lambda t: Int(t[0], t[0] + t[1] * t[2], step=t[2])
)
log_ints = st.tuples(st.integers(1, 9), st.integers(9, 900)).map(lambda t: Int(*t, log=True))
choices = st.lists(st.sampled_from([None, True, 2, 0.5, "a", "b"]), min_size=1, unique=True).map(
    Categorical
)


@given(st.one_of(floats, logs, steps, ints, log_ints, choices), st.integers(0, 2**32))
@settings(max_examples=300)
def test_a_distribution_keeps_its_values_there_and_back(distribution, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        native = to_optuna(distribution)
    back = from_optuna(native)
    assert type(back) is type(distribution)
    every, again = distribution.values(), back.values()
    if isinstance(distribution, Float) and distribution.step is not None:
        assert len(every) == len(again)
        assert all(abs(a - b) < 1e-9 for a, b in zip(every, again, strict=True))
    else:
        assert back == distribution
        back.validate(distribution.sample(random.Random(seed)))


def test_importing_the_plugin_imports_no_optuna():
    program = (
        "import sys, hpsearch_optuna, hpsearch_optuna.backend, hpsearch_optuna.dialect\n"
        "from hpsearch.plugins import registry\nfrom hpsearch.space import dialects\n"
        "registry.find('optuna').load()\n"
        "assert 'optuna' in dialects.dialects()\n"
        "assert not dialects.dialects()['optuna'].recognises({'x': 1})\n"
        "print(sorted({'optuna', 'numpy', 'sqlalchemy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.stdout == "[]\n", result.stderr
