"""The best trial and the Pareto front, against the definition written out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch import TrialState
from hpsearch.study.best import best_of, best_trial, dominates, front, pareto_front, ranked
from hpsearch.study.record import TrialRecord

VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, math.nan])
FEW_VALUES = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 1.0, 2.5, math.inf, math.nan])
COSTS = st.one_of(FEW_VALUES, st.floats(allow_nan=False))


def trials_of(rows):
    trials = []
    for number, row in enumerate(rows):
        trial = TrialRecord(number)
        trial.state = TrialState.COMPLETE if row is not None else TrialState.FAILED
        trial.objectives = row
        trials.append(trial)
    return trials


def constrained(rows):
    """One trial for each pair of objectives and whether they are feasible."""
    trials = []
    for number, (row, feasible) in enumerate(rows):
        trial = TrialRecord(number)
        trial.state, trial.objectives = TrialState.COMPLETE, row
        trial.constrain("size", 0.0 if feasible else 0.1)
        trials.append(trial)
    return trials


def is_better(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(
        a < b for a, b in zip(one, other, strict=True)
    )


def definition(points):
    """The front by comparing each point with each other."""
    sound = [point for point in points if not any(map(math.isnan, point))]
    return [
        index
        for index, point in enumerate(points)
        if not any(map(math.isnan, point)) and not any(is_better(other, point) for other in sound)
    ]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
@given(data=st.data())
def test_the_front_of_points_is_what_no_other_dominates(width, data):
    values = data.draw(st.sampled_from([FEW_VALUES, COSTS]))
    points = data.draw(st.lists(st.tuples(*[values] * width), max_size=60))
    assert front(points) == definition(points)


@pytest.mark.parametrize("width", [2, 3, 4, 5])
@given(st.randoms(use_true_random=False))
def test_the_front_of_many_points_is_what_no_other_dominates(width, random):
    # So many that points are divided, over and over, in each of their objectives.
    top = random.choice([4, 30, 10**6])
    points = [tuple(float(random.randint(0, top)) for _ in range(width)) for _ in range(200)]
    assert front(points) == definition(points)


@given(st.tuples(COSTS, COSTS, COSTS), st.tuples(COSTS, COSTS, COSTS))
def test_a_point_dominates_another_if_it_is_nowhere_worse_and_somewhere_better(one, other):
    assert dominates(one, other) == is_better(one, other)


def test_a_front_as_large_as_the_set_is_found_whole():
    points = [(float(x), float(-x), float(x % 7)) for x in range(10_000)]
    assert front(points) == list(range(10_000))


@given(
    st.lists(st.one_of(st.none(), st.tuples(VALUES, VALUES, VALUES)), max_size=30),
    st.lists(st.sampled_from(["minimize", "maximize"]), min_size=3, max_size=3),
)
def test_the_front_of_trials_follows_their_states_and_directions(rows, directions):
    signs = [1 if direction == "minimize" else -1 for direction in directions]
    costs = [
        (math.nan,) * 3 if row is None else tuple(s * v for s, v in zip(signs, row, strict=True))
        for row in rows
    ]
    numbers = [trial.number for trial in pareto_front(trials_of(rows), directions)]
    assert numbers == definition(costs)


def test_equal_trials_stay_together_on_the_front():
    front = pareto_front(trials_of([(1.0, 2.0), (1.0, 2.0), (2.0, 3.0)]), ["minimize"] * 2)
    assert [trial.number for trial in front] == [0, 1]


def test_the_best_of_equals_is_the_earliest():
    trials = trials_of([None, (2.0,), (1.0,), (1.0,)])
    assert best_trial(trials, "minimize") is trials[2]
    assert best_trial(trials, "maximize") is trials[1]
    assert best_trial(trials[:1], "minimize") is None


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_trial_with_a_nan_is_never_the_best(direction):
    trials = trials_of([(math.nan,), (1.0,), (math.nan,)])
    assert best_trial(trials, direction) is trials[1]
    assert ranked(trials, [direction]) == [trials[1]]
    assert best_of(trials[:1], [direction]) == []


def test_a_trial_that_breaks_its_constraints_is_neither_best_nor_on_the_front():
    single = constrained([((0.0,), False), ((2.0,), True), ((1.0,), True)])
    assert best_of(single, ["minimize"]) == [single[2]]
    assert best_of(single[:1], ["minimize"]) == []
    several = constrained([((0.0, 0.0), False), ((2.0, 1.0), True), ((1.0, 2.0), True)])
    assert best_of(several, ["minimize", "minimize"]) == several[1:]
    assert ranked(several, ["minimize", "minimize"]) == [several[2], several[1]]


def test_trials_are_ranked_by_their_objective_and_equals_by_number():
    trials = trials_of([(2.0,), None, (3.0,), (2.0,)])
    assert [trial.number for trial in ranked(trials, ["minimize"])] == [0, 3, 2]
    assert [trial.number for trial in ranked(trials, ["maximize"])] == [2, 0, 3]


def test_with_several_directions_the_front_is_ranked_before_the_others():
    trials = trials_of([(0.0, 9.0), (0.0, 5.0), (3.0, 1.0), (2.0, 6.0), (1.0, 4.0)])
    numbers = [trial.number for trial in ranked(trials, ["minimize", "minimize"])]
    assert numbers == [1, 4, 2, 0, 3]
