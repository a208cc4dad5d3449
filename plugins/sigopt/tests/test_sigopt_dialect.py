"""SigOpt's spaces read and written: parameter lists and whole experiments."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.errors import CapabilityError, SpaceError
from hpsearch.space import dialects
from hpsearch.space.distributions import Native
from hpsearch_sigopt.dialect import SigOptDialect

DIALECT = SigOptDialect()
PAGE = [
    {"bounds": {"min": 1e-6, "max": 1e-4}, "name": "learning_rate", "type": "double"},
    {
        "categorical_values": ["16", "32", "64", "128"],
        "name": "per_device_train_batch_size",
        "type": "categorical",
    },
]
SGD_OR_ADAM = {"name": "optimizer", "values": ["sgd", "adam"]}
X = {"name": "x", "type": "double", "bounds": {"min": 0, "max": 1}}
Y = {**X, "name": "y"}
CONSTRAINT = {
    "type": "less_than",
    "threshold": 1,
    "terms": [{"name": "x", "weight": 1}, {"name": "y", "weight": 2}],
}


def test_the_documentations_list_is_read():
    assert dialects.read(PAGE) == Space(
        {
            "learning_rate": Float(1e-6, 1e-4),
            "per_device_train_batch_size": Categorical(["16", "32", "64", "128"]),
        }
    )


def test_every_portable_feature_is_read():
    given = [
        {**X, "bounds": {"min": 0.1, "max": 10}, "transformation": "log"},
        {"name": "n", "type": "int", "bounds": {"min": 1, "max": 8}},
        {"name": "g", "type": "double", "grid": [0.3, 0.1, 0.2]},
        {"name": "h", "type": "int", "grid": [2, 4, 6]},
        {"name": "momentum", **{k: X[k] for k in ("type", "bounds")}, "conditions": {"o": ["sgd"]}},
        {
            "name": "beta",
            "type": "int",
            "bounds": {"min": 1, "max": 2},
            "conditions": {"o": "adam"},
        },
    ]
    body = {"parameters": given, "conditionals": [{"name": "o", "values": ["sgd", "adam"]}]}
    assert dialects.read(body) == Space(
        {
            "x": Float(0.1, 10, log=True),
            "n": Int(1, 8),
            "g": Float(0.1, 0.3, step=0.1),
            "h": Int(2, 6, step=2),
            "momentum": Float(0, 1),
            "beta": Int(1, 2),
            "o": Categorical(["sgd", "adam"]),
        },
        {"momentum": when(o="sgd"), "beta": when(o="adam")},
    )


def test_what_a_server_answers_is_read_too():
    """An experiment that was fetched names what it lacks as None or as empty."""
    entry = {**X, "grid": [], "prior": None, "conditions": {}, "categorical_values": None}
    assert dialects.read([{**entry, "object": "parameter"}]) == Space({"x": Float(0, 1)})
    values = [{"name": "a", "enum_index": 1, "object": "categorical_value"}, {"name": "b"}]
    assert dialects.read([{"name": "c", "type": "categorical", "categorical_values": values}])


@pytest.mark.parametrize(
    "entry",
    [
        {**X, "prior": {"name": "normal", "mean": 0.5, "scale": 0.1}},
        {**X, "prior": {"name": "beta", "shape_a": 1, "shape_b": 2}},
        {"name": "x", "type": "double", "grid": [0.1, 0.2, 0.4]},
        {"name": "x", "type": "int", "grid": [1, 10, 100]},
        {"name": "x", "type": "double", "grid": [0.1, 0.2, 0.3], "transformation": "log"},
    ],
    ids=["normal", "beta", "uneven", "whole", "log"],
)
def test_what_only_sigopt_can_say_runs_on_sigopt_and_is_refused_elsewhere(entry):
    space = dialects.read([entry])
    assert isinstance(space.parameters["x"], Native)
    arguments = {"n_trials": 3, "seed": 1, "progress": False}
    hpsearch.search(lambda trial: trial["x"], [entry], backend="sigopt", **arguments)
    for backend in ("optuna", "random", "grid"):
        with pytest.raises(CapabilityError, match=r"'x' .*sigopt"):
            hpsearch.search(lambda trial: trial["x"], [entry], backend=backend, **arguments)


def test_linear_constraints_are_refused_elsewhere():
    body = {"parameters": [X, Y], "linear_constraints": [CONSTRAINT]}
    with pytest.raises(CapabilityError, match=r"'x' .*less_than"):
        hpsearch.search(lambda trial: 1.0, body, backend="random", progress=False)


def test_the_misspelt_transformation_of_transformers_is_understood_and_said(caplog):
    """The default space of transformers up to 4.x: huggingface/transformers, hp_search."""
    entry = {**X, "bounds": {"min": 1e-6, "max": 1e-4}, "transformamtion": "log"}
    assert dialects.read([entry]) == Space({"x": Float(1e-6, 1e-4, log=True)})
    assert "'transformamtion' is read as 'transformation'" in caplog.text


@pytest.mark.parametrize(
    ("native", "problem"),
    [
        ([{**X, "bound": 1}], "'x', as .* has no 'bound'.*Did you mean 'bounds'"),
        ([{**X, "type": "float"}], "'x': type is 'float', expected 'double'"),
        ([{"name": "x", "type": "double"}], "'x': expected bounds or a grid"),
        ([{**X, "grid": [1, 2]}], "'x': expected bounds or a grid"),
        ([{**X, "bounds": {"min": 0}}], "'x': bounds is"),
        ([{**X, "bounds": {"min": 1, "max": 0}}], "'x': low 1.0 is above high 0.0"),
        ([{**X, "bounds": {"min": "0", "max": 1}}], "'x': '0' is not a number"),
        (
            [{**X, "type": "int", "bounds": {"min": 0.5, "max": 1}}],
            "'x': 0.5 is not a whole number",
        ),
        ([{**X, "transformation": "ln"}], "'x': transformation is 'ln'"),
        ([{**X, "transformation": "log"}], "'x': log=True needs low above 0"),
        ([{**X, "prior": {"name": "uniform"}}], "'x': prior is"),
        ([{**X, "prior": {"name": "normal", "mean": 1}}], "'x': prior .* needs 'mean', 'scale'"),
        ([{**X, "type": "int", "prior": {"name": "normal"}}], "'x': SigOpt has priors for doubles"),
        ([{**X, "categorical_values": ["a"]}], "'x': a double parameter has no 'categorical_v"),
        ([{"name": "x", "type": "categorical", "categorical_values": [16]}], "'x': .* write '16'"),
        ([{**X, "conditions": {"o": "a"}}], "'x' has a condition on 'o'.*'conditionals'"),
        ([X, X], "'x' is there twice"),
        (
            {"parameters": [X], "tasks": [{"name": "a", "cost": 1}]},
            "experiment, .* has no 'tasks'. It has",
        ),
        ({"parameters": [X], "metric": 1}, "Did you mean 'metrics'"),
        ({"parameters": [X], "conditionals": ["o"]}, "conditional 'o' has no name"),
        ({"parameters": [X], "conditionals": [{"name": "o", "values": [1, 2]}]}, "'o': value 1 is"),
    ],
)
def test_what_cannot_be_read_is_named(native, problem):
    with pytest.raises(SpaceError, match=problem):
        dialects.read(native)


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        (Space({"n": Int(1, 9, log=True)}), "'n': SigOpt has no way to say an int"),
        (Space({"c": Categorical([16, 32])}), "'c': SigOpt has no way to say"),
        (Space({"c": Categorical(["a"]), "x": Float(0, 1)}), "'c': SigOpt has no way"),
        (Space({"f": Float(0, 1, step=1e-5)}), "'f': SigOpt has no way"),
        (Space({"a": Int(0, 1), "b": Int(0, 1)}, {"b": when(a=1)}), "'b': SigOpt has no such cond"),
        (Space({"g.x": Float(0, 1)}, groups=["g"]), "no groups"),
    ],
)
def test_what_sigopt_cannot_say_exactly_is_not_written(space, problem):
    with pytest.raises(SpaceError, match=problem):
        dialects.write(space, "sigopt")


def test_what_an_experiment_says_in_addition_to_its_space_is_named_elsewhere(caplog):
    body = {"parameters": [X], "metrics": ["loss"], "observation_budget": 5, "project": None}
    assert DIALECT.extra_settings(body) == ("observation_budget",)
    assert DIALECT.extra_settings([X]) == ()
    hpsearch.search(lambda trial: 1.0, body, backend="random", n_trials=1, progress=False)
    assert "the space also has 'observation_budget', which" in caplog.text


@pytest.mark.parametrize(
    "native", [[], [1], {"parameters": {"x": {"min": 0}}}, "x", {"x": X}, None]
)
def test_other_objects_are_not_recognised(native):
    assert not DIALECT.recognises(native)


def test_reading_imports_no_engine():
    program = (
        f"import sys; from hpsearch.space import dialects; dialects.read({PAGE!r});"
        "print([name for name in ('sigopt', 'sigoptlite', 'numpy') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


# Every space that SigOpt can say, drawn by Hypothesis.

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))
TEXTS = st.text("abcdefgh0123456789", min_size=1, max_size=4)


@st.composite
def floats(draw):
    low, width = draw(NUMBERS), draw(st.floats(1e-3, 1e3))
    kind = draw(st.sampled_from(["plain", "log", "step"]))
    if kind == "log":
        return Float(abs(low) + 1e-6, abs(low) + width + 1e-3, log=True)
    if kind == "step":
        step, count = draw(st.sampled_from([0.1, 0.25, 1.0, 2.5])), draw(st.integers(1, 50))
        return Float(0.0, count * step, step=step)
    return Float(low, low + width)


@st.composite
def ints(draw):
    low, step = draw(st.integers(-1000, 1000)), draw(st.integers(1, 7))
    return Int(low, low + step * draw(st.integers(1, 40)), step=step)


categoricals = st.lists(TEXTS, min_size=2, max_size=5, unique=True).map(Categorical)


@st.composite
def natives(draw):
    grid = sorted(draw(st.sets(st.integers(1, 1000), min_size=2, max_size=5)))
    entry = draw(
        st.sampled_from(
            [
                {**X, "prior": {"name": "beta", "shape_a": 1.0, "shape_b": 2.0}},
                {"name": "x", "type": "int", "grid": grid, "transformation": "log"},
                {"name": "x", "type": "double", "grid": [value / 7 for value in grid]},
            ]
        )
    )
    return DIALECT.read([entry]).parameters["x"]


@st.composite
def spaces(draw):
    kinds = st.one_of(floats(), ints(), categoricals, natives())
    parameters = draw(st.dictionaries(TEXTS, kinds, min_size=1, max_size=4))
    conditions = {}
    if draw(st.booleans()):
        parent = draw(categoricals)
        parameters["parent"] = parent
        for name in list(parameters)[1:-1]:
            values = draw(st.sets(st.sampled_from(parent.choices), min_size=1))
            conditions[name] = when(parent=sorted(values))
    constraints = []
    if draw(st.booleans()):
        parameters |= {"p": Float(0, 1), "q": Float(-1.0, 1.0)}
        weights = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2, unique=True))
        for weight in weights:
            terms = [{"name": "p", "weight": weight}, {"name": "q", "weight": 1}]
            constraints.append({"type": "less_than", "threshold": 1, "terms": terms})
    from hpsearch_sigopt.constraints import constrain

    return Space(constrain(parameters, constraints), conditions)


@given(spaces())
@settings(max_examples=150)
def test_a_written_space_reads_back_as_itself(space):
    try:
        written = DIALECT.write(space)
    except SpaceError as error:
        # A float's steps whose values need more digits than a grid of them can tell.
        assert "no way to say" in str(error) or "no such condition" in str(error)  # noqa: PT017
        return
    assert DIALECT.recognises(written)
    assert DIALECT.read(written) == space
    assert DIALECT.write(DIALECT.read(written)) == written


@pytest.mark.parametrize("kind", ["double", "int"])
@pytest.mark.parametrize("bound", [10**400, float("inf"), float("nan")])
def test_a_bound_that_no_float_holds_is_refused_by_name(kind, bound):
    parameter = {"name": "p", "type": kind, "bounds": {"min": 0, "max": bound}}
    with pytest.raises(SpaceError, match="parameter 'p'.* is not a finite number"):
        DIALECT.read([parameter])
