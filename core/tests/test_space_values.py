"""One value: what is equal becomes one plain value, at every size, in spaces, grids and resumes."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import random
import re
import sqlite3
import sys
import time
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hpsearch
from hpsearch import Categorical, Float, Int, Native, Space, when
from hpsearch.builtin.grid import points
from hpsearch.errors import SpaceError

HUGE = 10**400
TENTHS = Float(0.0, 0.5, step=0.1)


def search(objective, space, backend="random", **given):
    return hpsearch.search(objective, space, backend=backend, progress=False, seed=1, **given)


def test_a_step_is_the_decimal_that_a_person_writes():
    assert list(TENTHS.values()) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(Float(-0.5, 0.1, step=0.1).values()) == [-0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1]
    assert list(Float(1e-5, 5e-5, step=1e-5).values()) == [1e-5, 2e-5, 3e-5, 4e-5, 5e-5]
    assert list(Float(1, 2, step=0.25).values()) == [1.0, 1.25, 1.5, 1.75, 2.0]
    assert TENTHS.validate(0.1 + 0.2) == TENTHS.validate(3 * 0.1) == 0.3


def test_bounds_and_steps_that_were_computed_are_the_decimals_that_they_stand_for():
    assert Float(0.1 + 0.2, 0.4, step=0.1) == Float(0.3, 0.4, step=0.1)
    assert Float(0.0, 3 * 0.1, step=0.3 - 0.2) == Float(0.0, 0.3, step=0.1)
    summed = sum([0.1] * 10_000)  # 1000.0000000001588
    assert list(Float(0.0, summed, step=0.1).values()[2:4]) == [0.2, 0.3]


def test_a_step_that_is_no_decimal_divides_the_range_evenly():
    assert list(Float(0, 1, step=1 / 3).values()) == [0.0, 1 / 3, 2 / 3, 1.0]
    assert list(Float(0, 0.5, step=np.float32(0.1)).values()) == list(TENTHS.values())


@st.composite
def decimal_grids(draw):
    """Bounds and a step with at most nine digits, and the number of the last step."""
    places = draw(st.integers(0, 12))
    low, step = draw(st.integers(-(10**9), 10**9)), draw(st.integers(1, 10**9))
    count = draw(st.integers(1, 10**6))
    unit = Decimal(10) ** -places
    return low * unit, step * unit, count


@given(decimal_grids(), st.data())
def test_each_step_is_the_float_nearest_to_the_decimal(grid, data):
    low, step, count = grid
    found = Float(float(low), float(low + count * step), step=float(step))
    found.check()
    number = data.draw(st.integers(0, count))
    right = float(low + number * step)
    assert found.size() == count + 1
    assert found.values()[number] == right
    assert found.validate(right) == right
    noisy = float(low) + number * float(step)
    assert found.validate(noisy) == found.nearest(noisy) == right
    assert found.values()[0] == found.low
    assert found.values()[-1] == found.high == float(low + count * step)


@given(st.floats(-1e9, 1e9), st.floats(1e-4, 1e4), st.integers(0, 1000))
def test_a_grid_is_read_back_as_it_is_whatever_its_bounds(low, step, count):
    found = Float(low, low + count * step, step=step)
    found.check()
    assert Float(found.low, found.high, step=found.step) == found
    again = Float(found.low, found.high, step=found.step)
    assert list(again.values()) == list(found.values())
    assert math.isclose(found.low, low, rel_tol=1e-15)
    assert math.isclose(found.high, low + count * step, rel_tol=1e-14, abs_tol=1e-9)


@given(st.randoms(use_true_random=False))
def test_what_is_drawn_is_a_listed_value_to_the_last_bit(rng):
    for distribution in (TENTHS, Float(-1.1, 1.1, step=0.1), Float(0, 1, step=1e-7)):
        drawn = distribution.sample(rng)
        assert drawn in distribution.values()
        assert distribution.validate(drawn) == drawn == float(repr(drawn))
        assert len(repr(drawn)) <= 12


@pytest.mark.parametrize("value", [0.31, 0.3001, -1e-3, 0.501, math.nan, math.inf, -math.inf])
def test_a_value_between_two_steps_or_beyond_them_is_refused(value):
    with pytest.raises(SpaceError, match="is not a float from 0.0 to 0.5 in steps of 0.1"):
        TENTHS.validate(value)


def test_a_step_too_fine_for_floats_is_refused():
    with pytest.raises(SpaceError, match="'x'.* too fine for the floats near 1.0"):
        Space({"x": Float(1e16, 1e16 + 10, step=0.5)})


@pytest.mark.parametrize("number", [0.3, 0.1 + 0.2, np.float64(0.3), np.float32(0.3)])
def test_a_number_of_any_library_is_a_plain_float(number):
    for given_ in (number, np.array(number)):
        value = TENTHS.validate(given_)
        assert (value, type(value)) == (0.3, float)


@pytest.mark.parametrize("narrow", [np.float16, np.float32])
def test_a_narrow_float_of_numpy_is_the_decimal_that_it_prints_as(narrow):
    for tenth in (narrow(0.1), np.array(0.1, dtype=narrow)):
        assert Float(tenth, 1) == Float(0.1, 1)
        assert Float(0, tenth) == Float(0, 0.1)
        assert Float(0, 1, step=tenth) == Float(0, 1, step=0.1)
        assert Categorical([tenth, 2]) == Categorical([0.1, 2])
        assert Categorical([0.1, 2]).validate(tenth) == 0.1
        assert Float(0, 1).validate(tenth) == 0.1
        assert Float(0.1, 1).validate(tenth) == 0.1
        assert when(x=tenth) == when(x=[tenth]) == when(x=np.array([tenth], narrow)) == when(x=0.1)
    assert Categorical(np.array([0.1, 0.7], dtype=narrow)).choices == (0.1, 0.7)
    assert Float(np.longdouble(0.1), 1) == Float(0.1, 1)


@pytest.mark.parametrize("space", [{"x": Float(0, 1)}, None])
def test_a_narrow_float_is_enqueued_as_the_decimal_and_an_objective_keeps_its_exact_value(space):
    def objective(trial):
        if space is None:
            trial.suggest_float("x", 0, 1)
        trial.report(np.float32(0.1), 1)
        return np.float32(0.1)

    study = hpsearch.search(
        objective, space, backend="random", n_trials=1, enqueue=[{"x": np.float32(0.1)}]
    )
    (trial,) = study.trials
    assert dict(trial.params) == dict(trial.fixed) == {"x": 0.1}
    assert trial.objective == trial.intermediate[1][0] == float(np.float32(0.1)) != 0.1


def test_numpy_is_taken_wherever_a_value_is_given():
    space = Space(
        {
            "x": Float(np.float32(0), np.float64(1)),
            "n": Int(np.int64(1), np.array(5), step=np.int8(2)),
            "c": Categorical(np.array([1, 2, 3])),
            "s": Categorical([np.str_("a"), np.bool_(True)]),
        },
        {"n": when(c=np.array([1, 2])), "s": when(c=np.int64(3))},
    )
    assert json.loads(space.to_json()) == space.to_dict()
    plain = Space(
        {
            "x": Float(0, 1),
            "n": Int(1, 5, step=2),
            "c": Categorical([1, 2, 3]),
            "s": Categorical(["a", True]),
        },
        {"n": when(c=[1, 2]), "s": when(c=3)},
    )
    assert space == plain
    point = space.validate({"x": np.float32(0.5), "c": np.int64(3), "s": np.bool_(True)})
    assert [(value, type(value)) for value in point.values()] == [
        (0.5, float),
        (3, int),
        (True, bool),
    ]


@pytest.mark.parametrize("value", [True, np.bool_(True), False])
def test_true_is_not_one(value):
    for distribution in (Float(0, 1), Float(0, 1, step=1), Int(0, 1), Categorical([0, 1])):
        with pytest.raises(SpaceError, match="bool"):
            distribution.validate(value)
    with pytest.raises(SpaceError, match="bool"):
        Space({"x": Float(value, 2)})


def test_minus_zero_is_zero():
    for distribution in (Float(-0.0, 1), Float(-1, 1), Float(-1, 1, step=0.5)):
        assert repr(distribution.validate(-0.0)) == "0.0"
    assert Categorical([-0.0]).choices[0].hex() == "0x0.0p+0"
    assert repr(Float(-0.0, 1).low) == "0.0"


def test_choices_of_different_types_differ():
    kinds = [Categorical(list(c)) for c in ([0, 1], [0.0, 1.0], [False, True])]
    for one, other in itertools.combinations(kinds, 2):
        assert one != other
        assert hash(one) != hash(other)
    assert len({*kinds, Categorical((0, 1))}) == 3
    assert pickle.loads(pickle.dumps(kinds[2])) == kinds[2]
    natives = {Native("wandb", {"q": q}, Float(0, 1)) for q in (1, 1.0)}
    assert len(natives) == 2


def test_a_condition_on_one_does_not_hold_for_true():
    condition = when(k=1)
    assert condition.holds({"k": 1})
    assert not condition.holds({"k": True})
    assert not condition.holds({"k": 1.0})
    assert not condition.holds({})
    assert when(k=1) != when(k=True) != when(k=1.0)
    assert (when(k=1) | when(k=True)).cases == ((("k", (1,)),), (("k", (True,)),))


def test_equal_spaces_have_equal_hashes():
    parameters = {"a": Int(0, 3), "b": Categorical(["u", "v"]), "x": Float(0, 1), "y": Float(0, 1)}
    conditions = {"x": when(a=[1, 2]) | when(b="u"), "y": when(a=3)}
    one = Space(parameters, conditions)
    other = Space(
        dict(reversed(parameters.items())), {"y": when(a=3), "x": when(b="u") | when(a=[2, 1, 1])}
    )
    assert one == other
    assert hash(one) == hash(other)
    assert one != Space(parameters, {**conditions, "y": when(a=2)})


def test_a_condition_is_on_the_value_that_its_parent_has():
    space = Space({"d": TENTHS, "r": Float(0, 1)}, {"r": when(d=0.1 + 0.2)})
    assert space == Space({"d": TENTHS, "r": Float(0, 1)}, {"r": when(d=0.3)})
    assert space.conditions["r"].cases == ((("d", (0.3,)),),)
    assert space.validate({"d": 0.1 + 0.2, "r": 1}) == {"d": 0.3, "r": 1.0}


@pytest.mark.parametrize("given_", [{"a", "b"}, frozenset("ab"), 3, None, np.array(3)])
def test_choices_that_are_no_sequence_are_refused(given_):
    with pytest.raises(SpaceError, match="list"):
        Categorical(given_)


def test_a_set_of_values_in_a_condition_has_no_order():
    assert when(k={"a", "b"}) == when(k=["b", "a"])
    assert when(k={"a", "b"}).cases == ((("k", ("a", "b")),),)


def test_a_condition_on_something_else_than_a_value_is_refused():
    with pytest.raises(SpaceError, match=r"when\(k=...\) has the value \[1\] \(list\)"):
        when(k=[[1]])


def test_many_choices_are_checked_and_validated_at_once():
    begun = time.process_time()
    many = Categorical(range(100_000))
    many.check()
    for value in range(100_000):
        many.validate(value)
    assert time.process_time() - begun < 2
    with pytest.raises(SpaceError, match=r"19, \.\.\. \(100000 choices\)$"):
        many.validate(-1)


def spread(distribution, among=4, draws=400):
    """Return the shares of equal parts of the range, or of its logarithm, among some draws."""
    wide = distribution.log and distribution.high > 2 * distribution.low
    scale = math.log if wide else Fraction
    low, high = scale(distribution.low), scale(distribution.high)
    rng = random.Random(0)
    drawn = [distribution.sample(rng) for _ in range(draws)]
    assert all(distribution.low <= value <= distribution.high for value in drawn)
    cells = [min(int((scale(value) - low) * among / (high - low)), among - 1) for value in drawn]
    return [cells.count(cell) / draws for cell in range(among)]


@pytest.mark.parametrize(
    "distribution",
    [
        Float(-1e308, 1e308),
        Float(-sys.float_info.max, sys.float_info.max),
        Float(1e307, 1.7e308),
        Float(5e-324, 1e-320),
        Float(5e-324, sys.float_info.max, log=True),
        Float(1, 1 + 1e-13, log=True),
        Float(1e300, 1.0001e300, log=True),
        Int(2**53, 2**53 + 400),
        Int(2**64, 2**64 + 399, log=True),
        Int(10**300, 10**300 + 399, log=True),
        Int(1, 10**300, log=True),
    ],
    ids=str,
)
def test_a_range_of_any_size_is_drawn_evenly(distribution):
    assert all(abs(share - 0.25) < 0.08 for share in spread(distribution))


@pytest.mark.parametrize(
    "distribution",
    [
        Float(0, 5e-324),
        Float(1, math.nextafter(1, 2)),
        Float(1e300, math.nextafter(1e300, math.inf), log=True),
        Int(2**53, 2**53 + 5),
        Int(2**64, 2**64 + 5, log=True),
        Int(2**64, 2**64 + 10, step=2),
    ],
    ids=str,
)
def test_both_ends_of_a_narrow_range_are_drawn(distribution):
    rng = random.Random(1)
    drawn = {distribution.sample(rng) for _ in range(200)}
    assert {distribution.low, distribution.high} <= drawn
    assert all(distribution.validate(value) == value for value in drawn)


def test_ints_beyond_doubles_are_exact_on_random_and_grid():
    space = {"n": Int(2**64, 2**64 + 5), "c": Categorical([2**60, 2**60 + 1])}
    study = search(lambda t: 0.0, space, "grid", n_trials=None)
    assert [t["n"] for t in study.trials][::2] == list(range(2**64, 2**64 + 6))
    study = search(lambda t: 0.0, space, n_trials=40)
    assert {t["n"] for t in study.trials} == set(range(2**64, 2**64 + 6))
    assert {t["c"] for t in study.trials} == {2**60, 2**60 + 1}


@pytest.mark.parametrize(
    "distribution",
    [
        lambda n: Float(0, n),
        lambda n: Float(-n, 0),
        lambda n: Float(0, 1, step=n),
        lambda n: Int(0, n),
        lambda n: Int(1, n, log=True),
        lambda n: Int(0, 1, step=n),
        lambda n: Categorical([n]),
    ],
)
@pytest.mark.parametrize("number", [HUGE, 10**5000], ids=["400", "5000"])
def test_an_int_beyond_any_float_is_refused_where_it_is_written(distribution, number):
    with pytest.raises(SpaceError, match="'x'.*10\\*\\*(400|5000)"):
        Space({"x": distribution(number)})


def test_a_value_beyond_any_float_is_refused():
    space = Space({"x": Float(0, 1), "s": TENTHS, "n": Int(0, 9), "c": Categorical([1])})
    for name in space.parameters:
        point = {"x": 0.5, "s": 0.1, "n": 1, "c": 1, name: HUGE}
        with pytest.raises(SpaceError, match=rf"'{name}': 10\*\*400 \(int\) is not"):
            search(lambda t: 0.0, space, n_trials=1, enqueue=[point])
        with pytest.raises(SpaceError, match=r"10\*\*400"):
            Space(space.parameters, {"c": when(**{"n" if name == "x" else name: HUGE})})


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.suggest_float("x", 0, HUGE),
        lambda t: t.suggest_float("x", 0, 1, step=HUGE),
        lambda t: t.suggest_int("x", 1, HUGE, log=True),
        lambda t: t.suggest_categorical("x", [HUGE]),
    ],
)
def test_a_suggestion_beyond_any_float_is_refused(ask):
    study = search(ask, None, n_trials=1, max_failures=9)
    error = study.trials[0].error
    assert error.type == "hpsearch.errors.SpaceError"
    assert re.search(r"'x'.*10\*\*400", error.message)


def test_values_are_computed_when_they_are_looked_at():
    values = Float(0, 2e8, step=1e-3).values()
    assert len(values) == 200_000_000_001
    assert (values[3], values[-1], list(values[1:3])) == (0.003, 2e8, [0.001, 0.002])
    assert values.index(123456.789) == 123456789
    assert 123456.789 in values
    assert 123456.7891 not in values
    with pytest.raises(ValueError, match="not one of the steps"):
        values.index(0.5e-3)
    with pytest.raises(IndexError):
        values[len(values)]
    assert Int(0, 2**80).size() == 2**80 + 1


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    "space",
    [
        {"a": Int(0, 9999), "b": Float(0, 1, step=1e-4)},
        {"a": Int(0, 10**30), "c": Categorical(["u", "v"])},
        {f"p{number}": Int(0, 3) for number in range(1000)},
    ],
    ids=["10**8", "10**30", "1000 parameters"],
)
def test_a_huge_grid_answers_at_once_also_on_a_resume(space, shuffle, tmp_path):
    path = tmp_path / "grid.db"
    begun = time.process_time()
    for total in (3, 6):
        study = search(
            lambda t: 0.0, space, "grid", n_trials=total, storage=path, resume=True, shuffle=shuffle
        )
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 6
    assert time.process_time() - begun < 3
    if not shuffle:
        first = list(itertools.islice(points(Space(space)), 6))
        assert [dict(trial.params) for trial in study.trials] == first


CONDITIONAL = Space(
    {"m": Int(1, 3), "z": TENTHS, "opt": Categorical(["adam", "sgd"]), "k": Int(1, 2)},
    {"m": when(opt="sgd"), "z": when(m=[1, 3])},
)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_grid_of_a_conditional_space_has_every_point_once(shuffle):
    study = search(lambda t: 0.0, CONDITIONAL, "grid", n_trials=None, shuffle=shuffle)
    found = [frozenset(trial.params.items()) for trial in study.trials]
    steps = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    right = [{"opt": "adam", "k": k} for k in (1, 2)]
    right += [{"opt": "sgd", "m": 2, "k": k} for k in (1, 2)]
    right += [{"opt": "sgd", "m": m, "k": k, "z": z} for m in (1, 3) for k in (1, 2) for z in steps]
    assert len(found) == len(set(found))
    assert set(found) == {frozenset(point.items()) for point in right}


def test_a_shuffled_grid_begins_anywhere():
    firsts = {
        hpsearch.search(
            lambda t: 0.0, CONDITIONAL, backend="grid", n_trials=1, shuffle=True, seed=seed
        )
        .trials[0]
        .params["opt"]
        for seed in range(200)
    }
    assert firsts == {"adam", "sgd"}


@pytest.mark.parametrize("enqueued", [0.3, 0.1 + 0.2, np.float32(0.3)])
def test_a_grid_tries_an_enqueued_step_once(enqueued):
    study = search(
        lambda t: t["d"], {"d": TENTHS}, "grid", n_trials=None, enqueue=[{"d": enqueued}]
    )
    assert [trial["d"] for trial in study.trials] == [0.3, 0.0, 0.1, 0.2, 0.4, 0.5]


def ask_in_tenths(trial):
    return trial.suggest_float("d", 0.0, 0.5, step=0.1)


@pytest.mark.parametrize("enqueued", [0.3, 0.1 + 0.2, np.float32(0.3)])
@pytest.mark.parametrize("space", [{"d": TENTHS}, None])
def test_the_noise_of_binary_fractions_is_nowhere_to_be_seen(space, enqueued, tmp_path):
    objective = ask_in_tenths if space is None else (lambda t: t["d"])
    study = search(
        objective, space, n_trials=40, enqueue=[{"d": enqueued}], storage=tmp_path / "s.db"
    )
    assert study.trials[0]["d"] == 0.3
    assert {trial["d"] for trial in study.trials} == set(TENTHS.values())
    for one in (study, hpsearch.load(tmp_path / "s.db")):
        assert "0000000" not in one.table() + one.to_json() + one.to_csv()


def test_an_enqueued_step_runs_once_in_a_search_that_is_resumed(tmp_path):
    for space in ({"d": TENTHS}, None):
        objective = ask_in_tenths if space is None else (lambda t: t["d"])
        for total in (3, 6):
            study = search(
                objective,
                space,
                n_trials=total,
                enqueue=[{"d": 0.1 + 0.2}],
                storage=tmp_path / f"{space is None}.db",
                resume=True,
            )
        assert [trial.number for trial in study.trials if trial.fixed] == [0]
        assert study.trials[0]["d"] == 0.3


def test_what_an_engine_without_conditions_draws_is_restricted_by_what_it_stands_for():
    space = Space({"d": TENTHS, "r": Float(0, 1)}, {"r": when(d=0.3)})
    assert space.restrict({"d": 3 * 0.1, "r": 0.5}) == {"d": 0.3, "r": 0.5}


@pytest.mark.parametrize("backend", ["grid", "random"])
def test_a_journal_with_binary_noise_is_read_as_what_was_meant(backend, tmp_path):
    path = tmp_path / "s.db"
    search(lambda t: t["d"], {"d": TENTHS}, "grid", n_trials=4, storage=path)
    with sqlite3.connect(path) as file:
        file.execute("UPDATE trial SET params = ? WHERE number = 3", ('{"d":0.30000000000000004}',))
    file.close()
    assert hpsearch.load(path).trials[3].params == {"d": 0.3}
    study = search(lambda t: t["d"], {"d": TENTHS}, backend, n_trials=6, storage=path, resume=True)
    assert study.trials[3].params == {"d": 0.3}
    if backend == "grid":
        assert [trial["d"] for trial in study.trials] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_steps_reach_from_one_end_of_the_floats_to_the_other():
    widest = Float(-1.7e308, 1.7e308, step=1.7e307)
    widest.check()
    assert [widest.validate(value) for value in widest.values()] == list(widest.values())
    study = search(lambda t: 0.0, {"x": widest}, "grid", n_trials=None)
    assert {trial["x"] for trial in study.trials} == set(widest.values())
