"""Sweep configs: read exactly, written exactly, refused by name."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hpsearch
from hpsearch.errors import CapabilityError, SpaceError
from hpsearch.space import dialects
from hpsearch.space.distributions import Categorical, Float, Int, Native
from hpsearch.space.space import Space, when
from hpsearch_wandb.dialect import WandbDialect
from hpsearch_wandb.parameters import encode

DIALECT = WandbDialect()
E1, E3 = math.exp(-1), math.exp(-3)


def read(definition, method="random"):
    space = DIALECT.read({"method": method, "parameters": {"p": definition}})
    return space.parameters["p"]


PORTABLE = [
    ({"value": 3}, Categorical([3])),
    ({"distribution": "constant", "value": None}, Categorical([None])),
    ({"values": [16, 32]}, Categorical([16, 32])),
    ({"distribution": "categorical", "values": ["a", 0.5, True]}, Categorical(["a", 0.5, True])),
    ({"values": ["a", "b"], "probabilities": [0.5, 0.5]}, Categorical(["a", "b"])),
    ({"min": 1, "max": 5}, Int(1, 5)),
    ({"min": 1.0, "max": 5}, Float(1.0, 5.0)),
    ({"min": 1, "max": 5.0}, Float(1.0, 5.0)),
    ({"distribution": "int_uniform", "min": -2, "max": 5}, Int(-2, 5)),
    ({"distribution": "uniform", "min": 1, "max": 5}, Float(1.0, 5.0)),
    ({"distribution": "log_uniform", "min": -3, "max": -1}, Float(E3, E1, log=True)),
    ({"distribution": "log_uniform_values", "min": 1e-6, "max": 1}, Float(1e-6, 1.0, log=True)),
    ({"distribution": "inv_log_uniform", "min": 1, "max": 3}, Float(E3, E1, log=True)),
    ({"distribution": "inv_log_uniform_values", "min": 0.1, "max": 9}, Float(0.1, 9, log=True)),
    ({"distribution": "q_uniform", "min": -0.25, "max": 2.25, "q": 0.5}, Float(0, 2, step=0.5)),
    ({"distribution": "q_uniform", "min": -1.5, "max": 10.5, "q": 3}, Int(0, 9, step=3)),
    ({"distribution": "q_uniform", "min": -0.5, "max": 2.5}, Float(0, 2, step=1.0)),
    (
        {"distribution": "q_log_uniform_values", "min": 0.5, "max": 64.5, "q": 1},
        Int(1, 64, log=True),
    ),
]

NATIVE = [
    ({"values": ["a", "b"], "probabilities": [0.2, 0.8]}, Categorical(["a", "b"])),
    ({"values": [1, 1, 2]}, Categorical([1, 2])),
    ({"distribution": "q_uniform", "min": 0, "max": 10, "q": 2}, Int(0, 10, step=2)),
    ({"distribution": "q_uniform", "min": 0.1, "max": 1, "q": 0.25}, Float(0, 1, step=0.25)),
    ({"distribution": "q_log_uniform", "min": 0, "max": 3, "q": 2}, Int(0, 20, step=2)),
    ({"distribution": "q_log_uniform_values", "min": 1, "max": 9, "q": 2.0}, Float(0, 8, step=2)),
    ({"distribution": "beta", "a": 2, "b": 5}, Float(0, 1)),
    ({"distribution": "q_beta", "a": 2, "b": 5, "q": 0.25}, Float(0, 1, step=0.25)),
    ({"distribution": "normal"}, Float(-sys.float_info.max, sys.float_info.max)),
    ({"distribution": "log_normal", "mu": 1}, Float(0, sys.float_info.max)),
    ({"distribution": "q_normal", "q": 2}, Int(-(2**53), 2**53, step=2)),
    ({"distribution": "q_log_normal", "q": 2}, Int(0, 2**53, step=2)),
    ({"distribution": "q_normal", "q": 0.5}, Float(-sys.float_info.max, sys.float_info.max)),
]


@pytest.mark.parametrize(("definition", "expected"), PORTABLE)
def test_what_a_portable_kind_says_exactly_is_read_into_it(definition, expected):
    assert read(definition) == expected


@pytest.mark.parametrize(("definition", "support"), NATIVE)
def test_what_no_portable_kind_says_stays_in_the_words_of_wandb(definition, support):
    parameter = read(definition)
    assert isinstance(parameter, Native)
    assert parameter.dialect == "wandb"
    assert parameter.support == support


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"distribution": "q_uniform", "min": 0, "max": 10, "q": 2}, Int(0, 8, step=2)),
        (
            {"distribution": "q_uniform", "min": 0.5, "max": 2.0, "q": 0.5},
            Float(0.5, 1.5, step=0.5),
        ),
        ({"min": 1, "max": 5}, Int(1, 5)),
    ],
)
def test_a_grid_counts_a_q_uniform_from_its_minimum_and_leaves_the_maximum_out(
    definition, expected
):
    assert read(definition, "grid") == expected


def test_nested_parameters_become_groups_and_reach_the_objective_both_ways():
    config = {
        "method": "random",
        "parameters": {
            "layers": {"min": 1, "max": 3},
            "optimizer": {
                "parameters": {
                    "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1},
                    "schedule": {"parameters": {"warmup": {"values": [0, 100]}}},
                }
            },
        },
    }
    space = DIALECT.read(config)
    assert space.groups == ("optimizer", "optimizer.schedule")
    assert list(space.parameters) == ["layers", "optimizer.lr", "optimizer.schedule.warmup"]
    seen = []
    study = hpsearch.search(
        lambda trial: seen.append(dict(trial)) or trial["optimizer"]["lr"],
        config,
        backend="random",
        n_trials=2,
        progress=False,
    )
    for trial, values in zip(study.trials, seen, strict=True):
        warmup = trial.params["optimizer.schedule.warmup"]
        nested = {"lr": trial.params["optimizer.lr"], "schedule": {"warmup": warmup}}
        assert values["optimizer"] == nested


@pytest.mark.parametrize(
    ("definition", "named"),
    [
        ({"distribution": "unifrom", "min": 0.0, "max": 1.0}, "Did you mean 'uniform'"),
        ({"min": 0.0, "mox": 1.0}, "Did you mean 'max'"),
        ({"distribution": "normal", "sgima": 2}, "Did you mean 'sigma'"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "above 0"),
        ({"distribution": "log_uniform", "min": 1, "max": 1024}, "log_uniform_values"),
        ({"distribution": "uniform", "min": 2, "max": 1}, "not below"),
        ({"distribution": "uniform", "min": 0}, "needs 'max'"),
        ({"distribution": "uniform", "min": 0, "max": float("inf")}, "finite"),
        ({"distribution": "int_uniform", "min": 0.5, "max": 4}, "whole number"),
        ({"distribution": "q_uniform", "min": 0, "max": 4, "q": 0}, "above 0"),
        ({"distribution": "normal", "sigma": 0}, "above 0"),
        ({"distribution": "log_normal", "mu": 700}, "beyond any float"),
        ({"values": ["a", "b"], "probabilities": [0.5]}, "1 'probabilities'"),
        ({"values": ["a", "b"], "probabilities": [0.5, 0.6]}, "sum to 1"),
        ({"values": []}, "at least one"),
        ({"values": "adam"}, "expected a list"),
        ({"values": [[1, 2], [3]]}, "give the choice a name"),
        ({"value": {"a": 1}}, "give the choice a name"),
        ({"values": [1, True]}, "are equal"),
        ({"parameters": {}}, "nested"),
        ({"parameters": {"a.b": {"value": 1}}}, "no '.'"),
        (0.5, "is not a mapping"),
    ],
)
def test_a_wrong_definition_is_refused_naming_the_parameter_and_what_is_right(definition, named):
    with pytest.raises(SpaceError, match="'p") as caught:
        read(definition)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"method": "random"}, "'parameters'"),
        ({"method": "random", "paramters": {}}, "Did you mean 'parameters'"),
        ({"parameters": {"x": {"value": 1}}, "metrics": []}, "Did you mean 'metric'"),
        ({"parameters": {"learning rate": {"value": 1}}}, "'learning rate'"),
        ({"parameters": {"a.b": {"value": 1}, "a": {"parameters": {"b": {"value": 1}}}}}, "twice"),
    ],
)
def test_a_wrong_config_is_refused_naming_the_section(config, named):
    assert DIALECT.recognises(config)
    with pytest.raises(SpaceError, match=named):
        dialects.read(config)


@pytest.mark.parametrize(
    "other",
    [
        None,
        [],
        {},
        {"x": Float(0, 1)},
        [{"name": "x", "type": "int"}],
        {"method": "sgd", "lr": 0.1},
    ],
)
def test_other_ways_of_writing_a_space_are_not_taken_for_a_sweep_config(other):
    assert not DIALECT.recognises(other)


def test_another_backend_says_what_it_ignores(caplog):
    caplog.set_level("INFO", logger="hpsearch")
    metric = {"name": "loss", "goal": "minimize", "target": 0.1}
    config = {"method": "bayes", "metric": metric, "early_terminate": {}}
    config["parameters"] = {"x": {"min": 0.0, "max": 1}}
    hpsearch.search(lambda t: t["x"], config, backend="random", n_trials=1, progress=False)
    assert "has 'method', 'early_terminate', 'metric.target', which" in caplog.text


def test_a_parameter_of_wandbs_own_is_refused_by_another_backend_by_name():
    config = {"method": "random", "parameters": {"x": {"distribution": "normal"}}}
    with pytest.raises(CapabilityError, match=r"'x'.*normal"):
        hpsearch.search(lambda t: t["x"], config, backend="random", n_trials=1)


def test_reading_a_config_imports_no_engine():
    code = (
        "import sys; from hpsearch.space import dialects; import hpsearch_wandb.backend;"
        "dialects.read({'method': 'bayes', 'parameters': {'x': {'distribution': 'normal'}}});"
        "assert not {'wandb', 'sweeps', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


numbers = st.floats(-1e6, 1e6, allow_nan=False)
whole = st.integers(-(10**6), 10**6)
choices = st.none() | st.booleans() | whole | numbers | st.text(max_size=5)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,5}", fullmatch=True)


def pair(values):
    return st.tuples(values, values).map(sorted).filter(lambda ends: ends[0] < ends[1])


@st.composite
def stepped(draw):
    first, count = draw(st.integers(-1000, 1000)), draw(st.integers(1, 1000))
    step = draw(st.integers(2, 50) | st.sampled_from([0.1, 0.25, 0.3, 1.0, 1e-3, 17.5]))
    kind = Int if isinstance(step, int) else Float
    return kind(first * step, (first + count) * step, step=step)


portable = st.one_of(
    st.lists(choices, min_size=1, max_size=4)
    .filter(lambda c: len(set(c)) == len(c))
    .map(Categorical),
    pair(numbers).map(lambda ends: Float(*ends)),
    pair(st.floats(1e-300, 1e300)).map(lambda ends: Float(*ends, log=True)),
    pair(whole).map(lambda ends: Int(*ends)),
    pair(st.integers(1, 10**6)).map(lambda ends: Int(*ends, log=True)),
    stepped(),
    st.sampled_from([read(definition) for definition, _ in NATIVE]),
)


@given(
    st.dictionaries(names, portable, min_size=1, max_size=4),
    st.dictionaries(names, st.dictionaries(names, portable, min_size=1, max_size=2), max_size=2),
)
def test_a_space_that_is_written_reads_back_equal(flat, nested):
    groups = [group for group in nested if group not in flat]
    inner = {f"{group}.{name}": d for group in groups for name, d in nested[group].items()}
    space = Space({**flat, **inner}, groups=groups)
    try:
        config = DIALECT.write(space)
    except SpaceError:
        # Steps whose ends W&B's arithmetic does not meet are the only kind that is refused.
        assert any(isinstance(d, Float) and d.step for d in space.parameters.values())
        return
    assert DIALECT.recognises(config)
    assert dialects.read(config) == space


@pytest.mark.parametrize(
    ("distribution", "named"),
    [
        (Float(2, 2), "exactly"),
        (Float(0.1, 0.6, step=0.25), "exactly"),
        (Native("sigopt", {"type": "double"}, Float(0, 1)), "cannot be said"),
    ],
)
def test_what_wandb_cannot_be_told_exactly_is_not_written(distribution, named):
    with pytest.raises(SpaceError, match=f"'x'.*{named}"):
        dialects.write(Space({"x": distribution}), "wandb")


def test_conditions_are_not_written():
    space = Space({"k": Categorical(["a", "b"]), "x": Float(0, 1)}, {"x": when(k="a")})
    with pytest.raises(SpaceError, match="'x'"):
        dialects.write(space, "wandb")


def test_a_sweep_lists_the_values_that_wandb_has_no_words_for():
    assert encode(Float(0.1, 0.6, step=0.25)) == {"values": [0.1, 0.35, 0.6]}
    assert encode(Int(2, 2)) == {"values": [2]}
    assert encode(Int(0, 4, step=2), grid=True) == {"values": [0, 2, 4]}
    with pytest.raises(SpaceError, match="exactly"):
        encode(Float(0.1, 5000.1, step=0.25))
