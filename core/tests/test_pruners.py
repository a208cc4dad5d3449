"""The core's pruners, held against naive ones that look at every trial anew."""

from __future__ import annotations

import logging
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hpsearch
from hpsearch.errors import ArgumentError, BackendError
from hpsearch.pruners import MedianPruner, Pruner, SuccessiveHalvingPruner, make_pruner
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord
from hpsearch.study.study import Study

SPACE = {"x": hpsearch.Float(0, 1)}
STATES = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED]

# Small whole numbers: their sums are exact, so that the naive pruner may add in any order.
values = st.integers(-5, 5).map(float) | st.sampled_from([math.nan, math.inf, -math.inf])
curves = st.dictionaries(st.integers(0, 20), values, max_size=6).map(
    lambda curve: dict(sorted(curve.items()))
)
runs = st.lists(st.tuples(curves, st.sampled_from(STATES)), max_size=12)
directions = st.sampled_from(["minimize", "maximize"])


def opened(pruner, direction="minimize"):
    pruner.hpsearch_open(Study("study", [direction]))
    return pruner


def report(pruner, trial, step, value):
    trial.report(step, (value,))
    return pruner.hpsearch_report(trial, step, (value,))


def tell(pruner, trial, state):
    trial.state = state
    pruner.hpsearch_tell(trial)


def run(pruner, number, curve, state=TrialState.COMPLETE):
    """Run a trial to its end whatever the pruner says; return what it said."""
    trial = TrialRecord(number)
    answers = [report(pruner, trial, step, value) for step, value in curve.items()]
    tell(pruner, trial, state)
    return answers


def costs_of(curve, direction):
    sign = 1 if direction == "minimize" else -1
    return {step: sign * value for step, value in curve.items()}


# The median rule.


def naive_average(costs, interval_of, interval):
    """Return the average as of the first report in the last interval reached, None if none is."""
    costs = {step: cost for step, cost in costs.items() if not math.isnan(cost)}
    reached = [step for step in costs if 0 <= interval_of(step) <= interval]
    if not reached:
        return None
    last = max(interval_of(step) for step in reached)
    check = min(step for step in reached if interval_of(step) == last)
    known = [cost for step, cost in costs.items() if step <= check]
    average = sum(known) / len(known)
    return math.inf if math.isnan(average) else average


def naive_median(before, costs, step, startup, warmup, every, least):
    def interval_of(step):
        return (step - warmup) // every

    earlier = [s for s in costs if s < step and interval_of(s) == interval_of(step)]
    if step < warmup or earlier or len(before) < startup:
        return False
    averages = [naive_average(other, interval_of, interval_of(step)) for other in before]
    known = [average for average in averages if average is not None]
    if len(known) < least:
        return False
    so_far = [c for s, c in costs.items() if s <= step and not math.isnan(c)]
    return bool(known) and min(so_far, default=math.inf) > statistics.median(known)


@given(
    runs,
    directions,
    st.integers(0, 3),
    st.integers(0, 8),
    st.sampled_from([1, 1, 2, 5]),
    st.integers(1, 3),
)
def test_the_median_rule_decides_as_one_that_looks_at_every_trial(
    runs, direction, startup, warmup, every, least
):
    pruner = opened(MedianPruner(startup, warmup, every, least), direction)
    complete = []
    for number, (curve, state) in enumerate(runs):
        costs = costs_of(curve, direction)
        expected = [
            naive_median(complete, costs, step, startup, warmup, every, least) for step in costs
        ]
        assert run(pruner, number, curve, state) == expected
        if state is TrialState.COMPLETE:
            complete.append(costs)


def test_the_median_rule_compares_the_best_so_far_with_the_others_averages():
    pruner = opened(MedianPruner(n_startup_trials=0))
    run(pruner, 0, {1: 4.0, 2: 2.0})  # averages 4, 3
    run(pruner, 1, {1: 6.0, 2: 6.0})  # averages 6, 6: the medians are 5 and 4.5
    assert run(pruner, 2, {1: 5.5, 2: 4.4}, TrialState.PRUNED) == [True, False]
    assert run(pruner, 3, {1: 4.9, 2: 9.0}) == [False, True]


def test_a_trial_with_steps_of_its_own_is_compared_with_what_others_had_by_then():
    # Reports once an epoch, in global steps, while the batch size is searched.
    pruner = opened(MedianPruner(n_startup_trials=0))
    run(pruner, 0, {90: 1.0, 180: 0.5})
    assert run(pruner, 1, {45: 2.0, 100: 1.5, 170: 0.9}) == [False, True, False]


def test_nothing_is_stopped_in_the_warm_up_nor_before_enough_trials_are_complete():
    pruner = opened(MedianPruner(n_startup_trials=2, n_warmup_steps=3))
    run(pruner, 0, {1: 0.0, 5: 0.0})
    assert run(pruner, 1, {1: 9.0, 5: 9.0}) == [False, False]
    assert run(pruner, 2, {1: 9.0, 5: 9.0}) == [False, True]


def test_only_complete_trials_set_the_median():
    pruner = opened(MedianPruner(n_startup_trials=0))
    run(pruner, 0, {1: 0.0}, TrialState.FAILED)
    run(pruner, 1, {1: 0.0}, TrialState.PRUNED)
    assert run(pruner, 2, {1: 9.0}) == [False]


# Successive halving.


def naive_halving(curves, factor, first, rate):
    """Return each report's answer, for the reports of all trials in the order of their arrival."""
    rungs = {}
    answers = []
    for number, step, cost in curves:
        goes_on = True
        for k in range(64):
            reached = rungs.setdefault(k, {})
            if step < first * factor ** (k + rate):
                break
            if number in reached:
                continue
            reached[number] = math.inf if math.isnan(cost) else cost
            best = sorted(reached.values())[: max(1, len(reached) // factor)]
            goes_on = goes_on and cost <= best[-1]
        answers.append(not goes_on)
    return answers


@given(
    st.lists(curves, max_size=10),
    directions,
    st.integers(2, 4),
    st.integers(1, 3),
    st.integers(0, 1),
    st.randoms(use_true_random=False),
)
def test_halving_decides_as_one_that_sorts_every_rung_also_with_trials_in_parallel(
    curves, direction, factor, first, rate, rng
):
    reports = {
        number: list(costs_of(curve, direction).items()) for number, curve in enumerate(curves)
    }
    order = [number for number, steps in reports.items() for _ in steps]
    rng.shuffle(order)
    arrivals = [(number, *reports[number].pop(0)) for number in order]
    pruner = opened(SuccessiveHalvingPruner(first, factor, rate), direction)
    trials = [TrialRecord(number) for number in range(len(curves))]
    sign = 1 if direction == "minimize" else -1
    answers = [report(pruner, trials[number], step, sign * cost) for number, step, cost in arrivals]
    assert answers == naive_halving(arrivals, factor, first, rate)


def test_halving_lets_the_best_half_go_on_at_each_rung():
    pruner = opened(SuccessiveHalvingPruner(reduction_factor=2))
    assert run(pruner, 0, {1: 5.0, 2: 5.0, 3: 5.0, 4: 5.0}) == [False] * 4
    assert run(pruner, 1, {1: 6.0}) == [True]
    assert run(pruner, 2, {1: 4.0, 2: 5.5}) == [False, True]
    assert run(pruner, 3, {1: 5.0, 2: 4.0, 4: 6.0}) == [False, False, True]


def test_the_first_rung_lies_where_the_bracket_puts_it():
    pruner = opened(SuccessiveHalvingPruner(2, 3, min_early_stopping_rate=1))
    run(pruner, 0, {5: 0.0, 6: 0.0})
    assert run(pruner, 1, {5: 1.0, 6: 1.0}) == [False, True]


def test_a_nan_at_a_rung_never_goes_on_and_hides_nobody():
    pruner = opened(SuccessiveHalvingPruner(reduction_factor=2))
    assert run(pruner, 0, {1: math.nan}) == [True]
    assert run(pruner, 1, {1: 3.0}) == [False]


# All of them.


@given(runs, curves, directions)
def test_a_pruner_that_was_told_the_trials_of_an_earlier_run_decides_the_same(
    runs, curve, direction
):
    for make in (lambda: MedianPruner(n_startup_trials=1), SuccessiveHalvingPruner):
        live, resumed = opened(make(), direction), opened(make(), direction)
        for number, (reported, state) in enumerate(runs):
            run(live, number, reported, state)
            trial = TrialRecord(number)
            trial.intermediate = {step: (value,) for step, value in reported.items()}
            tell(resumed, trial, state)
        assert run(resumed, len(runs), curve) == run(live, len(runs), curve)


@pytest.mark.parametrize("pruner", [MedianPruner(), SuccessiveHalvingPruner()])
def test_a_pruner_starts_each_search_anew(pruner):
    def objective(trial):
        for step in range(10):
            trial.report(trial["x"] + step, step)
            if trial.should_prune():
                raise hpsearch.TrialPruned
        return trial["x"]

    def states():
        study = hpsearch.search(
            objective, SPACE, backend="random", n_trials=20, seed=1, pruner=pruner, progress=False
        )
        return [trial.state for trial in study.trials]

    first = states()
    assert {"complete", "pruned"} == set(first)
    assert states() == first


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_maximizing_stops_the_same_trials_as_minimizing_the_opposite(pruner):
    def states(sign, direction):
        def objective(trial):
            for step in range(1, 20):
                trial.report(sign * (trial["x"] + 0.1 * math.sin(step * 9 * trial["x"])), step)
                if trial.should_prune():
                    raise hpsearch.TrialPruned
            return sign * trial["x"]

        study = hpsearch.search(
            objective,
            SPACE,
            direction=direction,
            backend="random",
            n_trials=40,
            seed=2,
            pruner=pruner,
            progress=False,
        )
        return [trial.state for trial in study.trials]

    assert states(1, "minimize") == states(-1, "maximize")
    assert "pruned" in states(1, "minimize")


class StopAtStep(Pruner):
    """The smallest pruner of one's own."""

    def should_prune(self, trial, step, cost):
        return step == 3 and cost > 0.5


def test_a_pruner_of_ones_own_is_one_method():
    def objective(trial):
        for step in range(5):
            trial.report(trial["x"], step)
            if trial.should_prune():
                raise hpsearch.TrialPruned
        return trial["x"]

    study = hpsearch.search(
        objective, SPACE, backend="random", n_trials=20, pruner=StopAtStep(), progress=False
    )
    for trial in study.trials:
        assert (trial.state == "pruned") == (trial["x"] > 0.5)
        assert len(trial.intermediate) == (4 if trial["x"] > 0.5 else 5)


def test_a_pruner_that_raises_ends_the_search_and_is_named(caplog):
    class Broken(Pruner):
        def should_prune(self, trial, step, cost):
            raise RuntimeError("lost")

    def objective(trial):
        trial.report(1.0, 0)
        return 1.0

    with (
        caplog.at_level(logging.CRITICAL),
        pytest.raises(BackendError, match=r"pruner Broken failed in hpsearch_report.*lost"),
    ):
        hpsearch.search(objective, SPACE, backend="random", pruner=Broken(), progress=False)


WRONG = [
    (MedianPruner, {"n_startup_trials": -1}, "MedianPruner: n_startup_trials is -1, expected"),
    (MedianPruner, {"n_warmup_steps": 1.5}, "n_warmup_steps is 1.5, expected a whole number"),
    (MedianPruner, {"interval_steps": 0}, "interval_steps is 0, .* of at least 1"),
    (MedianPruner, {"n_min_trials": True}, "n_min_trials is True"),
    (SuccessiveHalvingPruner, {"min_resource": 0}, "min_resource is 0, .* of at least 1"),
    (SuccessiveHalvingPruner, {"reduction_factor": 1}, "reduction_factor is 1, .* of at least 2"),
    (
        SuccessiveHalvingPruner,
        {"min_early_stopping_rate": "1"},
        "SuccessiveHalvingPruner: min_early_stopping_rate is '1'",
    ),
    (make_pruner, {"pruner": "meadian"}, "'meadian' is unknown. Did you mean 'median'"),
]


@pytest.mark.parametrize(("make", "options", "message"), WRONG)
def test_a_wrong_option_is_refused_before_any_search(make, options, message):
    with pytest.raises(ArgumentError, match=message):
        make(**options)


@pytest.mark.parametrize("pruner", [MedianPruner, SuccessiveHalvingPruner])
def test_by_report_two_trials_compare_whatever_steps_they_report_at(pruner):
    def objective(trial, scale):
        for epoch in range(1, 9):
            trial.report(trial["x"] + 1 / epoch, epoch * scale(trial))
            if trial.should_prune():
                raise hpsearch.TrialPruned
        return trial["x"]

    def states(scale, **options):
        study = hpsearch.search(
            lambda trial: objective(trial, scale),
            SPACE,
            backend="random",
            pruner=pruner(**options),
            n_trials=30,
            seed=1,
            progress=False,
        )
        return [(trial.state, len(trial.intermediate)) for trial in study.trials]

    epochs = states(lambda trial: 1)
    assert {state for state, _ in epochs} == {"complete", "pruned"}
    assert states(lambda trial: 10 ** (trial.number % 3), by_report=True) == epochs
    assert states(lambda trial: 10 ** (trial.number % 3)) != epochs


def test_by_report_is_a_flag():
    with pytest.raises(ArgumentError, match="by_report is 1, expected True or False"):
        MedianPruner(by_report=1)
