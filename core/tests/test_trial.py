"""The trial as objectives see it: a mapping, whatever native object stands behind it."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.execution.messages import MessageChannel
from hpsearch.study.record import TrialRecord
from hpsearch.study.trial import Trial, as_floats


def run(objective, **options):
    settings = {
        "backend": "random",
        "n_trials": 1,
        "max_failures": 0,
        "progress": False,
        **options,
    }
    return hpsearch.search(objective, {"lr": Float(0, 1)}, **settings)


def test_a_trial_is_a_read_only_mapping_of_its_parameters():
    def objective(trial):
        assert dict(trial) == {"lr": trial["lr"]} == dict(trial.params)
        assert list(trial.keys()) == ["lr"]
        assert list(trial.values()) == [trial["lr"]]
        assert trial.get("missing", 3) == 3
        with pytest.raises(TypeError):
            trial["lr"] = 0.5
        with pytest.raises(TypeError):
            trial.params["lr"] = 0.5
        with pytest.raises(KeyError):
            trial["missing"]
        return 1.0

    run(objective)


def test_the_engines_own_trial_is_reached_through_ours():
    record = TrialRecord(0, params={"lr": 0.1})
    record.native = SimpleNamespace(system_attrs={"lr": 0.1})
    trial = Trial(record, MessageChannel(record, dict))
    assert trial.system_attrs == {"lr": 0.1}
    record.native = None
    with pytest.raises(
        AttributeError, match=r"no attribute 'system_attrs'; .* trial\['system_attrs'\]"
    ):
        _ = trial.system_attrs


def test_trials_with_the_same_parameters_are_not_the_same_trial():
    one, other = TrialRecord(0, params={"lr": 0.1}), TrialRecord(1, params={"lr": 0.1})
    assert one != other
    assert len({one, other}) == 2


def test_each_trial_has_a_seed_of_its_own_that_the_studys_seed_decides():
    seeds = [TrialRecord(number, study_seed=7).seed for number in range(100)]
    assert len(set(seeds)) == 100
    assert seeds == [TrialRecord(number, study_seed=7).seed for number in range(100)]
    assert seeds[0] != TrialRecord(0, study_seed=8).seed
    # Recorded here, so that journals of today replay with every later version.
    assert TrialRecord(3, study_seed=1).seed == 2819386340


def test_a_step_is_reported_once():
    def objective(trial):
        trial.report(0.5, 1)
        with pytest.warns(UserWarning, match="reported step 1 twice; the first value stays"):
            trial.report(0.7, 1)
        return 1.0

    assert run(objective).trials[0].intermediate == {1: (0.5,)}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.5, -1), ValueError, "step is -1, expected a whole number from 0 to"),
        ((0.5, 1.5), ValueError, "step is 1.5"),
        ((0.5, True), ValueError, "step is True"),
        ((0.5, "1"), ValueError, "step is '1'"),
        ((0.5, 2**63), ValueError, "step is 9223372036854775808, expected a whole number from 0"),
        (("0.5", 1), TypeError, "expected a number, got '0.5'"),
        ((None, 1), TypeError, "expected a number, got None"),
        (([0.5, 0.6], 1), ValueError, "reported 2 values at step 1, and the study has 1 direction"),
    ],
)
def test_a_bad_report_is_an_error_in_the_objective(arguments, error, message):
    def objective(trial):
        with pytest.raises(error, match=message):
            trial.report(*arguments)
        return 1.0

    assert run(objective).trials[0].intermediate == {}


def test_numpy_numbers_become_plain_floats():
    numpy = pytest.importorskip("numpy")
    for value in (numpy.float32(0.5), numpy.array(0.5), numpy.int64(3)):
        assert [type(item) for item in as_floats(value)] == [float]
    assert as_floats([numpy.float64(1), 2]) == (1.0, 2.0)


def test_reports_of_several_directions():
    def objective(trial):
        with warnings.catch_warnings():
            trial.report([0.5, float("nan")], 3)
        return 1.0, 2.0

    trial = run(objective, direction=["minimize", "minimize"]).trials[0]
    assert trial.intermediate[3][0] == 0.5
    assert trial.objective is None
    assert trial.objectives == (1.0, 2.0)


def test_a_trial_without_parameters_is_true():
    seen = []

    def objective(trial):
        seen.append(bool(trial))
        return 0.0

    study = hpsearch.search(
        objective, lambda trial: seen.append(bool(trial)), backend="random", n_trials=1
    )
    assert seen == [True, True]  # the one that reads the space, and the trial
    assert study.trials[0]
