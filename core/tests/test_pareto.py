"""The Pareto front, against the definition written out."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from hpsearch import TrialState
from hpsearch.study.best import best_trial, pareto_front
from hpsearch.study.record import TrialRecord

VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, math.nan])


def trials_of(rows):
    trials = []
    for number, row in enumerate(rows):
        trial = TrialRecord(number)
        trial.state = TrialState.COMPLETE if row is not None else TrialState.FAILED
        trial.objectives = row
        trials.append(trial)
    return trials


def dominates(one, other, signs):
    pairs = [(s * a, s * b) for s, a, b in zip(signs, one, other, strict=True)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@given(
    st.lists(st.one_of(st.none(), st.tuples(VALUES, VALUES, VALUES)), max_size=30),
    st.lists(st.sampled_from(["minimize", "maximize"]), min_size=3, max_size=3),
)
def test_the_front_is_what_no_other_trial_dominates(rows, directions):
    signs = [1 if direction == "minimize" else -1 for direction in directions]
    sound = [row for row in rows if row and not any(map(math.isnan, row))]
    expected = [
        number
        for number, row in enumerate(rows)
        if row in sound and not any(dominates(other, row, signs) for other in sound)
    ]
    assert [trial.number for trial in pareto_front(trials_of(rows), directions)] == expected


def test_equal_trials_stay_together_on_the_front():
    front = pareto_front(trials_of([(1.0, 2.0), (1.0, 2.0), (2.0, 3.0)]), ["minimize"] * 2)
    assert [trial.number for trial in front] == [0, 1]


def test_the_best_of_equals_is_the_earliest():
    trials = trials_of([None, (2.0,), (1.0,), (1.0,)])
    assert best_trial(trials, "minimize") is trials[2]
    assert best_trial(trials, "maximize") is trials[1]
    assert best_trial(trials[:1], "minimize") is None
