"""Spaces: what is refused and how, what is drawn, and that JSON carries everything."""

from __future__ import annotations

import math
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch import Categorical, Float, Int, Native, Space, when
from hpsearch.errors import SpaceError

BAD = {
    "low above high": (Float(1.0, 0.1), "low 1.0 is above high 0.1; swap them"),
    "int low above high": (Int(5, 1), "low 5 is above high 1"),
    "log at zero": (Float(0.0, 1.0, log=True), "log=True needs low above 0, and low is 0.0"),
    "log below zero": (Int(-1, 4, log=True), "log=True needs low above 0, and low is -1"),
    "NaN bound": (Float(math.nan, 1.0), "low is nan, expected a finite number"),
    "infinite bound": (Float(0.0, math.inf), "high is inf, expected a finite number"),
    "text bound": (
        Float("0", 1.0),  # type: ignore[arg-type]
        r"low is '0' \(str\), expected a number",
    ),
    "bool bound": (Int(True, 4), r"low is True \(bool\), expected a whole number"),
    "fractional int": (
        Int(0.5, 4),  # type: ignore[arg-type]
        r"low is 0.5 \(float\), expected a whole number",
    ),
    "no choices": (Categorical([]), "choices is empty"),
    "duplicate choices": (Categorical([1, 2, 1]), "choices 1 and 1 are equal"),
    "choices equal to Python": (Categorical([1, True]), "choices 1 and True are equal"),
    "an object as choice": (
        Categorical([print]),  # type: ignore[list-item]
        "give the choice a name",
    ),
    "NaN as choice": (Categorical([math.nan]), "choice nan is not finite"),
    "step does not divide": (Float(0.0, 1.0, step=0.3), "does not divide .* write high=0.9"),
    "int step does not divide": (Int(1, 10, step=4), "does not divide .* write high=9"),
    "zero step": (Float(0.0, 1.0, step=0.0), "step is 0.0, expected a finite number above 0"),
    "fractional int step": (
        Int(0, 4, step=0.5),  # type: ignore[arg-type]
        "step is 0.5, expected a whole number",
    ),
    "log and step": (Float(0.1, 1.0, log=True, step=0.1), "log and step exclude each other"),
    "int log and step": (Int(1, 9, log=True, step=2), "log and a step above 1 exclude"),
    "not a distribution": ([1, 2], "expected Float, Int or Categorical"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_parameter_is_refused_by_name(case):
    distribution, message = BAD[case]
    with pytest.raises(SpaceError, match=message) as refusal:
        Space({"good": Float(0, 1), "lr": distribution})
    assert "'lr'" in str(refusal.value)


@pytest.mark.parametrize("name", ["", 3, None])
def test_a_parameter_needs_a_name(name):
    with pytest.raises(SpaceError, match="is not a non-empty string"):
        Space({name: Float(0, 1)})


def test_choices_given_as_text_are_refused():
    with pytest.raises(SpaceError, match="the text 'adam', expected a list"):
        Categorical("adam")


OPTIMIZER = Categorical(["adam", "sgd"])


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (
            {"momentun": when(opt="sgd")},
            "'momentun', which is not a parameter. Did you mean 'momentum'",
        ),
        ({"momentum": when(optt="sgd")}, "depends on 'optt', .* Did you mean 'opt'"),
        ({"momentum": when(opt="sdg")}, "depends on 'opt': 'sdg' .* is not one of 'adam', 'sgd'"),
        ({"momentum": when(lr=0.5)}, "a parent needs finitely many values"),
        ({"momentum": "opt == sgd"}, "is not a condition; use when"),
        ({"momentum": when(flag=True), "flag": when(momentum=0.5)}, "momentum.*finitely many"),
    ],
)
def test_a_bad_condition_is_refused_by_name(conditions, message):
    parameters = {
        "opt": OPTIMIZER,
        "lr": Float(0, 1),
        "flag": Categorical([True, False]),
        "momentum": Float(0, 1),
    }
    with pytest.raises(SpaceError, match=message):
        Space(parameters, conditions)


def test_conditions_in_a_circle_are_refused():
    with pytest.raises(SpaceError, match="'a', 'b' form a cycle"):
        Space({"a": Int(0, 1), "b": Int(0, 1)}, {"a": when(b=1), "b": when(a=1)})


def test_when_without_a_parameter_is_refused():
    with pytest.raises(SpaceError, match="names no parameter"):
        when()


def test_a_conditional_parameter_is_searched_only_beside_its_parents_value():
    space = Space(
        {"momentum": Float(0, 1), "opt": OPTIMIZER, "nesterov": Categorical([True, False])},
        {"momentum": when(opt="sgd"), "nesterov": when(opt="sgd") | when(opt="adam")},
    )
    drawn = [space.sample(random.Random(seed)) for seed in range(50)]
    assert {"momentum" in point for point in drawn} == {True, False}
    assert all(("momentum" in point) == (point["opt"] == "sgd") for point in drawn)
    assert all("nesterov" in point for point in drawn)


def test_a_grandchild_is_not_searched_when_its_parent_is_not():
    space = Space(
        {"a": Int(0, 1), "b": Int(0, 1), "c": Int(0, 1)}, {"b": when(a=1), "c": when(b=[0, 1])}
    )
    assert set(space.validate({"a": 0})) == {"a"}
    with pytest.raises(SpaceError, match="'c' is not searched with"):
        space.validate({"a": 0, "c": 1})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": 0.5}, "parameter 'n' is missing; given are 'lr'"),
        ({"lr": 0.5, "n": 3, "m": 1}, "parameter 'm' is not in the space"),
        ({"lr": 0.5, "m": 1}, "parameter 'm' is not in the space"),
        ({"lrr": 0.5, "n": 3}, "parameter 'lrr' is not in .*Did you mean 'lr'"),
        ({"lr": 2.0, "m": 1}, "parameter 'm' is not in the space.* has 'lr', 'n'"),
        ({"lr": 2.0, "n": 3}, r"parameter 'lr': 2.0 \(float\) is not a float from 0.0 to 1.0"),
        ({"lr": math.nan, "n": 3}, r"parameter 'lr': nan"),
        ({"lr": "0.5", "n": 3}, r"parameter 'lr': '0.5' \(str\)"),
        ({"lr": 0.5, "n": 3.0}, r"parameter 'n': 3.0 \(float\) is not an int"),
        ({"lr": 0.5, "n": True}, r"parameter 'n': True \(bool\) is not an int"),
        ({"lr": 0.5, "n": 4}, r"in steps of 2"),
        ({"lr": True, "n": 3}, r"parameter 'lr': True \(bool\)"),
    ],
)
def test_a_point_outside_the_space_is_refused_by_name(params, message):
    with pytest.raises(SpaceError, match=message):
        Space({"lr": Float(0, 1), "n": Int(1, 5, step=2)}).validate(params)


@pytest.mark.parametrize(
    ("low", "said"), [('0, "low": 0.5', "the key 'low' is there twice"), ("-1e999", "any float")]
)
def test_json_with_a_key_twice_or_a_number_beyond_any_float_is_refused(low, said):
    text = f'{{"parameters": {{"x": {{"type": "float", "low": {low}, "high": 1}}}}}}'
    with pytest.raises(SpaceError, match=said):
        Space.from_json(text)


def test_a_whole_number_is_a_fine_float_and_comes_back_as_one():
    value = Space({"lr": Float(0, 2)}).validate({"lr": 1})["lr"]
    assert value == 1.0
    assert type(value) is float


def test_a_choice_keeps_its_type():
    space = Space({"flag": Categorical([True, "1", 0])})
    with pytest.raises(SpaceError, match=r"False \(bool\) is not one of"):
        space.validate({"flag": False})


@pytest.mark.parametrize("log", [True, False])
def test_the_ends_of_an_int_are_drawn_as_often_as_its_middle(log):
    rng = random.Random(0)
    drawn = [Int(1, 4, log=log).sample(rng) for _ in range(8000)]
    cells = {n: math.log((n + 0.5) / (n - 0.5)) / math.log(9) if log else 0.25 for n in range(1, 5)}
    for n, share in cells.items():
        assert drawn.count(n) / len(drawn) == pytest.approx(share, abs=0.02)


def test_a_log_float_is_uniform_in_its_logarithm():
    rng = random.Random(0)
    drawn = sorted(math.log10(Float(1e-6, 1e-2, log=True).sample(rng)) for _ in range(4000))
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert drawn[int(share * 4000)] == pytest.approx(-6 + 4 * share, abs=0.1)


FLOATS = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def distributions(draw):
    kind = draw(st.sampled_from(["float", "log", "step", "int", "intlog", "intstep", "choice"]))
    if kind == "choice":
        pool = [None, True, False, 2, 3, 2.5, "2", "adam", ""]
        return Categorical(draw(st.lists(st.sampled_from(pool), min_size=1, unique=True)))
    if kind == "float":
        low, high = sorted((draw(FLOATS), draw(FLOATS)))
        return Float(low, high)
    if kind == "log":
        low, high = sorted((draw(st.floats(1e-9, 1e6)), draw(st.floats(1e-9, 1e6))))
        return Float(low, high, log=True)
    if kind == "step":
        low, step = draw(FLOATS), draw(st.floats(1e-3, 1e3))
        return Float(low, low + step * draw(st.integers(0, 50)), step=step)
    low, count = draw(st.integers(1, 1000)), draw(st.integers(0, 50))
    if kind == "intlog":
        return Int(low, low + count, log=True)
    step = draw(st.integers(1, 9)) if kind == "intstep" else 1
    return Int(low, low + count * step, step=step)


@st.composite
def spaces(draw):
    names = draw(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
    parameters = {name: draw(distributions()) for name in names}
    conditions = {}
    for index, name in enumerate(names[1:], start=1):
        parent = draw(st.sampled_from(names[:index]))
        values = parameters[parent].values()
        if values and draw(st.booleans()):
            chosen = draw(st.lists(st.sampled_from(list(values)), min_size=1, unique_by=repr))
            conditions[name] = when(**{parent: chosen})
    return Space(parameters, conditions)


@given(spaces())
def test_a_space_survives_json_and_pickle(space):
    assert Space.from_json(space.to_json()) == space
    assert pickle.loads(pickle.dumps(space)) == space


@given(spaces(), st.randoms(use_true_random=False))
def test_what_is_drawn_lies_in_the_space(space, rng):
    point = space.sample(rng)
    assert space.validate(point) == point


@given(distributions())
def test_every_listed_value_is_a_value(distribution):
    values = distribution.values()
    assert values is None or [distribution.validate(value) for value in values] == list(values)


@pytest.mark.parametrize(
    "data", [{}, [], {"parameters": {"x": {"type": "complex"}}}, {"parameters": {"x": {}}}]
)
def test_json_that_is_no_space_is_refused(data):
    with pytest.raises(SpaceError, match="is not"):
        Space.from_dict(data)


def test_spaces_are_equal_when_they_mean_the_same():
    assert Space({"x": Float(0, 1)}) == Space({"x": Float(0.0, 1.0)})
    assert Space({"x": Float(0, 1)}) != Space({"x": Float(0, 1, step=0.5)})
    assert hash(Space({"x": Float(0, 1)})) == hash(Space({"x": Float(0, 1)}))


NORMAL = Native("wandb", {"distribution": "normal", "mu": 0, "sigma": 1}, Float(-1e9, 1e9))


def test_a_parameter_in_an_engines_own_words_survives_json_and_pickle():
    space = Space({"x": NORMAL, "y": Float(0, 1)})
    assert Space.from_json(space.to_json()) == space
    assert pickle.loads(pickle.dumps(space)) == space
    assert hash(NORMAL) == hash(pickle.loads(pickle.dumps(NORMAL)))
    assert space.validate({"x": 0.5, "y": 0.5}) == {"x": 0.5, "y": 0.5}
    with pytest.raises(SpaceError, match="only wandb can draw"):
        space.sample(random.Random(0))


def test_a_definition_that_is_no_json_is_refused():
    with pytest.raises(SpaceError, match="parameter 'x'.*not JSON"):
        Space({"x": Native("wandb", {"mu": object()}, Float(0, 1))})


def test_nested_groups_are_made_from_flat_names():
    space = Space(
        {"model.width": Int(1, 8), "model.head.lr": Float(0, 1), "lr": Float(0, 1)},
        groups=["model", "model.head"],
    )
    assert Space.from_json(space.to_json()) == space != Space(space.parameters)
    assert Space(space.parameters, groups=["model.head"]) == space
    point = {"model.width": 4, "model.head.lr": 0.5, "lr": 0.1}
    assert space.nested(point) == {"model": {"width": 4, "head": {"lr": 0.5}}}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": Int(1, 2), "model.x": Int(1, 2)}, "'model' is called like a group"),
        ({"width": Int(1, 2)}, r"group 'model' has no parameter 'model\.name'"),
    ],
)
def test_a_group_that_cannot_be_is_refused(parameters, message):
    with pytest.raises(SpaceError, match=message):
        Space(parameters, groups=["model"])


def test_what_is_left_of_all_values_is_the_active_ones():
    space = Space({"kind": Categorical(["a", "b"]), "depth": Int(1, 3)}, {"depth": when(kind="a")})
    assert space.restrict({"kind": "b", "depth": 2}) == {"kind": "b"}
    assert space.restrict({"kind": "a", "depth": 2}) == {"kind": "a", "depth": 2}
