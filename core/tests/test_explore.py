"""Define-by-run functions, read beforehand."""

from __future__ import annotations

import copy
import inspect
import json
import math
import random
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hpsearch
from hpsearch.errors import SpaceError
from hpsearch.space.distributions import Categorical, Float, Int
from hpsearch.space.explore import MOST_RUNS, explore, probe
from hpsearch.space.space import Space, when
from hpsearch.study.record import TrialRecord


def line_of(function, text):
    """Return how an error names the line of a function that holds a text."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = (index for index, line in enumerate(lines) if text in line)
    return f"{__file__}:{first + offset}"


# One call, to see what a function is.


def test_a_probed_function_shows_the_names_it_suggests():
    def space(trial):
        return {"lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True), "n": trial.number}

    seen = probe(space)
    assert (seen.suggested, seen.names) == (True, ("lr",))
    assert 1e-5 <= seen.returned["lr"] <= 1e-1


def test_a_function_that_returns_a_native_space_suggests_nothing():
    native = [{"name": "lr", "type": "double"}]
    seen = probe(lambda trial: native)
    assert not seen.suggested
    assert seen.returned is native


@pytest.mark.parametrize(
    "space",
    [
        lambda trial: trial.study.best_params,
        lambda trial: trial.set_user_attr("note", "1"),
        lambda trial: trial.suggest_uniform("lr", 0, 1),
        lambda trial: trial.annotate("note", "1"),
    ],
)
def test_a_function_that_wants_the_engines_own_trial_suggests_unknown_names(space):
    seen = probe(space)
    assert seen.suggested
    assert seen.names is None


def test_a_function_that_gives_a_combination_up_is_no_mistake():
    def space(trial):
        trial.suggest_int("n", 1, 3)
        raise hpsearch.TrialPruned

    assert probe(space).names == ("n",)
    assert explore(space) == Space({"n": Int(1, 3)})


@pytest.mark.parametrize("read", [probe, explore])
def test_a_function_that_fails_is_an_error_before_the_search(read):
    with pytest.raises(SpaceError, match="ZeroDivisionError") as raised:
        read(lambda trial: trial.suggest_int("n", 1, 3) / 0)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("read", [probe, explore])
def test_a_bad_range_is_an_error_that_names_the_parameter(read):
    with pytest.raises(SpaceError, match="parameter 'lr': low 2.0 is above high 1.0"):
        read(lambda trial: trial.suggest_float("lr", 2, 1))


# Branches.


def test_a_function_without_branches_is_a_plain_space():
    def space(trial):
        return {
            "lr": trial.suggest_float("lr", 1e-6, 1e-4, log=True),
            "epochs": trial.suggest_int("epochs", 1, 5),
            "seed": trial.suggest_int("seed", 1, 40),
            "batch": trial.suggest_categorical("batch", [4, 8, 16]),
            "beta": trial.suggest_float("beta", 0.5, 1.0, step=0.25),
        }

    assert explore(space) == Space(
        {
            "lr": Float(1e-6, 1e-4, log=True),
            "epochs": Int(1, 5),
            "seed": Int(1, 40),
            "batch": Categorical([4, 8, 16]),
            "beta": Float(0.5, 1.0, step=0.25),
        }
    )


def test_a_parameter_found_in_some_branches_has_a_condition_on_what_decides_alone():
    def space(trial):
        optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam", "lion", "adamw"])
        depth = trial.suggest_int("depth", 1, 3)
        if optimizer == "sgd":
            if trial.suggest_categorical("momentum", [True, False]):
                trial.suggest_float("beta", 0, 1)
            trial.suggest_float("dampening", 0, 1)
        elif optimizer in ("adam", "adamw"):
            trial.suggest_float("beta2", 0.9, 0.999)
        if depth > 1 and optimizer != "sgd":
            trial.suggest_float("both", 0, 1)
        if depth == 3 or optimizer == "lion":
            trial.suggest_float("either", 0, 1)
        trial.suggest_float("always", 0, 1)

    assert dict(explore(space).conditions) == {
        "momentum": when(optimizer="sgd"),
        "beta": when(momentum=True),
        "dampening": when(optimizer="sgd"),
        "beta2": when(optimizer=["adam", "adamw"]),
        "both": when(depth=[2, 3], optimizer=["adam", "lion", "adamw"]),
        "either": when(depth=3) | when(optimizer="lion"),
    }


def test_a_loop_over_a_suggested_number_of_layers_is_read():
    def space(trial):
        for layer in range(trial.suggest_int("layers", 1, 3)):
            trial.suggest_int(f"units_{layer}", 4, 128, log=True)

    assert explore(space) == Space(
        {
            "layers": Int(1, 3),
            "units_0": Int(4, 128, log=True),
            "units_1": Int(4, 128, log=True),
            "units_2": Int(4, 128, log=True),
        },
        {"units_1": when(layers=[2, 3]), "units_2": when(layers=3)},
    )


def test_parameters_come_in_the_order_in_which_they_are_asked_for():
    def space(trial):
        if kind(trial) == "b":
            trial.suggest_float("second", 0, 1)
        trial.suggest_float("third", 0, 1)
        if trial["kind"] == "b":
            trial.suggest_float("fourth", 0, 1)
        trial.suggest_float("fifth", 0, 1)

    assert list(explore(space).parameters) == ["kind", "second", "third", "fourth", "fifth"]


def test_only_parameters_that_decide_multiply_the_runs():
    calls = []

    def space(trial):
        calls.append(1)
        values = [trial.suggest_int(f"x{index}", 1, 100) for index in range(20)]
        if trial.suggest_categorical("kind", ["a", "b", "c"]) == "b":
            trial.suggest_float("y", 0, 1)
        return {"sum": sum(values)}

    assert explore(space).conditions == {"y": when(kind="b")}
    assert len(calls) == 3


def flag(trial):
    return trial.suggest_categorical("flag", [True, False])


def kind(trial):
    return trial.suggest_categorical("kind", ["a", "b"])


def count(trial):
    return trial.suggest_int("count", 0, 3)


def maybe(trial):
    return trial.suggest_categorical("maybe", [None, 1, "x"])


def mixed(trial):
    return trial.suggest_categorical("mixed", [1, 0.5, "x"])


@pytest.mark.parametrize(
    ("decides", "condition"),
    [
        (lambda t: flag(t), when(flag=True)),
        (lambda t: not flag(t), when(flag=False)),
        (lambda t: flag(t) is True, when(flag=True)),
        (lambda t: maybe(t) is None, when(maybe=None)),
        (lambda t: isinstance(maybe(t), str), when(maybe="x")),
        (lambda t: isinstance(mixed(t), str), when(mixed="x")),
        (lambda t: kind(t) == "b", when(kind="b")),
        (lambda t: kind(t) == kind(t).replace("a", "b"), when(kind="b")),
        (lambda t: {"a": False, "b": True}[kind(t)], when(kind="b")),
        (lambda t: kind(t) in {"b", "c"}, when(kind="b")),
        (lambda t: f"{kind(t)}" == "b", when(kind="b")),
        (lambda t: kind(t) + "c" == "bc", when(kind="b")),
        (lambda t: kind(t).upper() == "B", when(kind="b")),
        (lambda t: "".join([kind(t)]) == "b", when(kind="b")),
        (lambda t: t.suggest("kind", Categorical(["a", "b"])) == "b", when(kind="b")),
        (lambda t: kind(t) and t["kind"] == "b", when(kind="b")),
        (lambda t: kind(t) and t.params["kind"] == "b", when(kind="b")),
        (lambda t: json.loads(json.dumps({"kind": kind(t)}))["kind"] == "b", when(kind="b")),
        (lambda t: copy.deepcopy([kind(t)])[0] == "b", when(kind="b")),
        (lambda t: count(t), when(count=[1, 2, 3])),
        (lambda t: count(t) >= 2, when(count=[2, 3])),
        (lambda t: 2.5 < count(t) <= 3, when(count=3)),
        (lambda t: 2 ** count(t) * 2 > 4, when(count=[2, 3])),
        (lambda t: abs(1 - count(t)) == 1, when(count=[0, 2])),
        (lambda t: list(range(count(t)))[1:], when(count=[2, 3])),
        (lambda t: [False, False, True, True][count(t)], when(count=[2, 3])),
        (lambda t: math.sqrt(count(t)) > 1.2, when(count=[2, 3])),
        (lambda t: [0] * count(t) == [0, 0], when(count=2)),
        (lambda t: round(count(t) / 2) == 2, when(count=3)),
        (lambda t: isinstance(count(t), int) and count(t) == 2, when(count=2)),
    ],
)
def test_every_way_of_looking_at_a_value_is_noticed(decides, condition):
    def space(trial):
        if decides(trial):
            trial.suggest_float("x", 0, 1)

    assert explore(space).conditions == {"x": condition}


def test_a_match_statement_is_read():
    def space(trial):
        match kind(trial):
            case "b":
                trial.suggest_float("x", 0, 1)

    assert explore(space).conditions == {"x": when(kind="b")}


def test_a_number_that_is_only_computed_with_decides_nothing():
    def space(trial):
        exponent = trial.suggest_float("exponent", -5, -1)
        rate = 10**exponent
        return {
            "lr": rate,
            "log": math.log(rate),
            "steps": int(1 / rate),
            "note": f"{exponent:.2f}",
            "seed": trial.suggest_int("seed", 0, 2**32 - 1) % 1000,
        }

    assert explore(space) == Space({"exponent": Float(-5, -1), "seed": Int(0, 2**32 - 1)})


# What cannot be read.


def compared_float(trial):
    if trial.suggest_float("lr", 0, 1) > 0.5:
        trial.suggest_float("x", 0, 1)


def compared_after_arithmetic(trial):
    kilo = 1000 * trial.suggest_float("lr", 0, 1)
    if round(kilo) - 1 > 500:
        trial.suggest_float("x", 0, 1)


def compared_and_caught(trial):
    try:
        small = trial.suggest_float("lr", 0, 1) < 0.5
    except ValueError:
        small = False
    return small


def large_int(trial):
    if trial.suggest_int("lr", 1, 1000) == 7:
        trial.suggest_float("x", 0, 1)


def range_from_a_float(trial):
    low = trial.suggest_float("lr", 0, 1)
    trial.suggest_float("x", low, 2)


@pytest.mark.parametrize(
    ("space", "line"),
    [
        (compared_float, "> 0.5"),
        (compared_after_arithmetic, "> 500"),
        (compared_and_caught, "< 0.5"),
        (large_int, "== 7"),
        (range_from_a_float, "low, 2"),
    ],
)
def test_a_branch_on_a_number_that_cannot_be_tried_out_names_parameter_and_line(space, line):
    with pytest.raises(SpaceError, match="parameter 'lr' is .* can decide") as raised:
        explore(space)
    assert line_of(space, line) in str(raised.value)


def escapes_through_math(trial):
    if math.exp(trial.suggest_float("lr", 0, 1)) > 2:
        trial.suggest_float("x", 0, 1)


def escapes_through_int(trial):
    for layer in range(int(trial.suggest_float("lr", 1, 4))):
        trial.suggest_float(f"x{layer}", 0, 1)


def escapes_through_text(trial):
    trial.suggest_float(f"x{trial.suggest_float('lr', 0, 1)}", 0, 1)


def escapes_through_range(trial):
    for layer in range(trial.suggest_int("lr", 1, 1000)):
        trial.suggest_float(f"x{layer}", 0, 1)


@pytest.mark.parametrize(
    ("space", "line"),
    [
        (escapes_through_math, "math.exp"),
        (escapes_through_int, "range(int"),
        (escapes_through_text, "x{trial"),
        (escapes_through_range, "in range("),
    ],
)
def test_a_branch_on_a_converted_number_names_parameter_and_line(space, line):
    with pytest.raises(SpaceError, match="depends on the number of 'lr'") as raised:
        explore(space)
    assert line_of(space, line) in str(raised.value)


def asks_for_number(trial):
    if trial.number == 0:
        trial.suggest_float("x", 0, 1)


def asks_for_engine(trial):
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("note", 1)


@pytest.mark.parametrize(
    ("space", "attribute"), [(asks_for_number, "number"), (asks_for_engine, "set_user_attr")]
)
def test_what_is_not_known_before_the_search_is_refused_with_the_line(space, attribute):
    with pytest.raises(SpaceError, match=f"trial.{attribute} is not known") as raised:
        explore(space)
    assert line_of(space, f"trial.{attribute}") in str(raised.value)


def test_one_name_with_two_distributions_is_refused():
    def space(trial):
        trial.suggest_int("k", 1, 3 if kind(trial) == "a" else 5)

    with pytest.raises(SpaceError, match="parameter 'k' is an int from 1 to 3 .* from 1 to 5"):
        explore(space)


def test_too_many_combinations_are_refused_with_their_number():
    def space(trial):
        if sum(trial.suggest_int(f"n{index}", 0, 19) for index in range(4)) > 3:
            trial.suggest_float("x", 0, 1)

    with pytest.raises(SpaceError, match=r"'n0' \(20 values\).*160,000 combinations"):
        explore(space)
    assert MOST_RUNS < 160_000


def test_parameters_that_decide_about_each_other_are_refused():
    def space(trial):
        if kind(trial) == "a":
            flag(trial) and count(trial)
        else:
            count(trial) and flag(trial)

    with pytest.raises(SpaceError, match="the conditions of 'flag', 'count' form a cycle"):
        explore(space)


def test_a_function_that_answers_differently_each_time_is_refused():
    calls = iter(range(100))

    def space(trial):
        name = "even" if next(calls) % 2 == 0 else "odd"
        if trial.suggest_categorical(name, ["a", "b"]) == "b":
            trial.suggest_float("x", 0, 1)

    with pytest.raises(SpaceError, match="differently each time"):
        explore(space)


# Spaces of all shapes.

FINITE = [
    Categorical(["a", "b", "c"]),
    Categorical([True, False]),
    Categorical([None, "x", 2]),
    Categorical([1, 2, 4, 8]),
    Int(0, 3),
    Int(2, 8, step=2),
]
OTHERS = [Float(0, 1), Float(1e-5, 1, log=True), Float(0, 1, step=0.25), Int(1, 10_000)]
TESTS = [
    "{parent} in {values}",
    "any({parent} == value for value in {values})",
    "{parent} not in {others}",
    "str({parent}) in {texts}",
]


@st.composite
def trees(draw):
    """A space in which each conditional parameter has one parent, and its function's source."""
    count = draw(st.integers(1, 7))
    parameters, conditions, lines = {}, {}, {}
    children = {None: []}
    for index in range(count):
        name = f"p{index}"
        parents = [p for p, d in parameters.items() if d in FINITE]
        parent = draw(st.sampled_from([None, *parents]))
        parameters[name] = draw(st.sampled_from(FINITE + OTHERS))
        children[name] = []
        lines[name] = ""
        if parent is not None:
            every = list(parameters[parent].values())
            size = draw(st.integers(1, len(every) - 1))
            values = draw(st.permutations(every))[:size]
            values = [value for value in every if value in values]
            conditions[name] = when(**{parent: values})
            lines[name] = draw(st.sampled_from(TESTS)).format(
                parent=parent,
                values=values,
                others=[value for value in every if value not in values],
                texts=[str(value) for value in values],
            )
        children[parent].append(name)
    return Space(parameters, conditions), "def space(trial):\n" + body(children, parameters, lines)


def body(children, parameters, tests, parent=None):
    text = ""
    for name in children[parent]:
        asked = f"{name} = trial.suggest({name!r}, {parameters[name]!r})\n"
        asked += body(children, parameters, tests, name)
        text += f"if {tests[name]}:\n{textwrap.indent(asked, '    ')}" if tests[name] else asked
    return textwrap.indent(text, "    ") if parent is None else text


def compiled(source):
    names = {"Categorical": Categorical, "Float": Float, "Int": Int}
    exec(source, names)
    return names["space"]


@given(trees())
@settings(max_examples=150)
def test_a_space_written_as_a_function_is_read_back_the_same(tree):
    space, source = tree
    assert explore(compiled(source)) == space, source


@st.composite
def tangles(draw):
    """A function whose branches test any parameters seen so far, in any combination."""
    count = draw(st.integers(2, 5))
    lines = []
    for index in range(count):
        distribution = draw(st.sampled_from(FINITE[:5]))
        tests = []
        for other in range(index):
            values = draw(st.sampled_from([["a"], [True], [None, 2], [1, 3], [0, "b", False]]))
            tests.append(f"p{other} is not ABSENT and p{other} in {values!r}")
        picked = draw(st.lists(st.sampled_from(tests), max_size=3)) if tests else []
        test = draw(st.sampled_from([" and ", " or "])).join(f"({item})" for item in picked)
        asked = f"trial.suggest('p{index}', {distribution!r})"
        lines.append(f"    p{index} = {asked} if {test or True} else ABSENT")
    return "def space(trial):\n    ABSENT = object()\n" + "\n".join(lines)


class Answers(TrialRecord):
    """Answers with the given parameters, and keeps what was asked for."""

    def __init__(self, params):
        super().__init__(0)
        self.asked = {}
        self.given = params

    __slots__ = ("asked", "given")

    def suggest(self, name, distribution):
        self.asked[name] = distribution
        return self.given[name]


@given(tangles(), st.integers(0, 2**32))
@settings(max_examples=150)
def test_every_point_of_the_read_space_is_what_the_function_asks_for_there(source, seed):
    function = compiled(source)
    space = explore(function)
    rng = random.Random(seed)
    for _ in range(50):
        params = space.sample(rng)
        trial = Answers(params)
        function(trial)
        assert trial.asked == {name: space.parameters[name] for name in params}, source
