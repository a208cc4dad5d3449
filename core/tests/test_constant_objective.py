"""A search whose parameters change nothing says so, once."""

import logging

import pytest

import hpsearch
from hpsearch.errors import TrialPruned

SPACE = {"x": hpsearch.Float(0, 1), "y": hpsearch.Int(1, 9), "fixed": hpsearch.Categorical(["a"])}


@pytest.fixture
def warnings_of(caplog):
    def run(objective, space=SPACE, **options):
        caplog.clear()
        given = {"backend": "random", "n_trials": 5, "seed": 1, "progress": False, **options}
        with caplog.at_level(logging.WARNING, "hpsearch"):
            hpsearch.search(objective, space, **given)
        return [r.getMessage() for r in caplog.records if "same objective" in r.getMessage()]

    return run


@pytest.mark.parametrize("executor", ["inline", "process"])
def test_one_warning_names_the_parameters_that_changed_nothing(warnings_of, executor):
    (warning,) = warnings_of(lambda trial: 0.5, executor=executor)
    assert "trials 0 and 1 have the same objective, 0.5, and differ in 'x', 'y'" in warning
    assert "fixed" not in warning


def test_parameters_that_a_define_by_run_trial_alone_asked_for_differ(warnings_of):
    def objective(trial):
        kind = trial.suggest_categorical("kind", ["a", "b"])
        trial.suggest_float(f"{kind}_rate", 0, 1)
        return 1.0, 2.0

    (warning,) = warnings_of(objective, None, direction=["minimize", "maximize"], n_trials=9)
    assert "the same objective, 1.0, 2.0" in warning


def test_an_objective_that_changes_once_is_never_warned_of(warnings_of):
    values = iter([1.0, 2.0, 1.0, 1.0, 1.0])
    assert warnings_of(lambda trial: next(values)) == []


def test_equal_trials_may_have_equal_objectives(warnings_of):
    assert warnings_of(lambda trial: 0.5, {"x": hpsearch.Categorical([1])}) == []


def test_only_complete_trials_are_compared(warnings_of):
    def objective(trial):
        if trial.number:
            raise TrialPruned
        return 0.5

    assert warnings_of(objective) == []


def test_a_resumed_search_does_not_warn_again(warnings_of, tmp_path):
    journal = {"storage": tmp_path / "j.db", "resume": True}
    assert len(warnings_of(lambda trial: 0.5, n_trials=1, **journal)) == 0
    assert len(warnings_of(lambda trial: 0.5, n_trials=3, **journal)) == 1
    assert len(warnings_of(lambda trial: 0.5, n_trials=6, **journal)) == 0
