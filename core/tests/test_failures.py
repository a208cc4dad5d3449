"""The failure policy: each row of the table in docs/failures.md, alone and in parallel."""

from __future__ import annotations

import math
import os
import signal

import pytest

import hpsearch
from hpsearch import Float, SearchFailedError, SearchInterrupted, TrialState, hookimpl
from hpsearch.errors import ArgumentError, ObjectiveError
from hpsearch.execution.executor import Executor

SPACE = {"x": Float(0, 1)}


def failing_at(*numbers, error=ValueError):
    def objective(trial):
        if trial.number in numbers:
            raise error(f"trial {trial.number} is bad")
        return trial["x"]

    return objective


def run(objective, n_trials=12, **options):
    return hpsearch.search(
        objective, SPACE, backend="random", n_trials=n_trials, seed=1, progress=False, **options
    )


def states(study):
    return "".join(str(trial.state)[0] for trial in study.trials)


def test_the_first_trial_that_fails_ends_the_search():
    with pytest.raises(
        SearchFailedError, match="trial 0 failed before any trial had ended well"
    ) as e:
        run(failing_at(0))
    assert states(e.value.study) == "f"
    assert isinstance(e.value.__cause__, ValueError)


def test_later_failures_are_survived():
    assert states(run(failing_at(1, 2, 3, 4, 5, 7))) == "cfffffcfcccc"


def test_more_than_five_failures_in_a_row_end_the_search():
    with pytest.raises(SearchFailedError, match="6 trials in a row failed, and max_failures is 5"):
        run(failing_at(*range(1, 12)))


@pytest.mark.parametrize(("allowed", "expected"), [(0, "cf"), (1, "cff"), (3, "cffff")])
def test_max_failures_is_how_many_in_a_row_are_survived(allowed, expected):
    with pytest.raises(SearchFailedError) as failure:
        run(failing_at(*range(1, 12)), max_failures=allowed)
    assert states(failure.value.study) == expected


def test_max_failures_also_speaks_for_the_first_trial():
    assert states(run(failing_at(0), n_trials=3, max_failures=1)) == "fcc"


def test_an_infinite_max_failures_never_ends_the_search():
    study = run(failing_at(*range(12)), max_failures=math.inf)
    assert states(study) == "f" * 12
    with pytest.raises(
        hpsearch.HpsearchError, match=r"no complete trial among 12 trials \(0 pruned, 12"
    ):
        _ = study.best


def test_caught_exceptions_never_count():
    study = run(failing_at(*range(11)), catch=ValueError)
    assert states(study) == "f" * 11 + "c"


def test_catch_covers_subclasses_and_nothing_else():
    assert states(run(failing_at(0, error=FileNotFoundError), catch=(OSError,)))[0] == "f"
    with pytest.raises(SearchFailedError):
        run(failing_at(0, error=KeyError), catch=(OSError,))


def test_a_failed_trial_keeps_its_traceback_and_shows_it_once(caplog):
    study = run(failing_at(1, 3))
    error = study.trials[1].error
    assert error is not None
    assert error.type == "ValueError"
    assert error.message == "trial 1 is bad"
    assert "in objective" in error.traceback
    assert caplog.text.count("Traceback (most recent call last)") == 1
    assert "trial 3 failed: ValueError: trial 3 is bad" in caplog.text


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (math.nan, "returned nan, expected a finite number"),
        (math.inf, "returned inf, expected a finite number"),
        (-math.inf, "returned -inf"),
        (None, "returned None, expected a number"),
        ("0.5", "returned '0.5', expected a number"),
        ((1.0, 2.0), r"returned 2 values \(1.0, 2.0\), and the study has 1 direction$"),
        ({"loss": 1.0}, "expected a number"),
    ],
)
def test_a_value_that_is_no_objective_fails_the_trial(returned, message):
    with pytest.raises(SearchFailedError) as failure:
        run(lambda trial: returned)
    error = failure.value.study.trials[0].error
    assert error.type == "hpsearch.errors.ObjectiveError"
    with pytest.raises(ObjectiveError, match=message):
        raise failure.value.__cause__


def test_nan_can_be_caught_by_its_type():
    study = run(lambda trial: math.nan if trial.number < 3 else 1.0, catch=ObjectiveError)
    assert states(study) == "fff" + "c" * 9


def test_a_wrong_number_of_objectives_names_both_numbers():
    with pytest.raises(SearchFailedError) as failure:
        run(lambda trial: 1.0, direction=["minimize", "maximize"])
    assert "1 values (1.0,), and the study has 2 directions" in str(failure.value.__cause__)


def test_a_retried_trial_runs_again_with_the_same_parameters_and_counts_once():
    failed = []

    def objective(trial):
        if trial["x"] > 0.5 and trial["x"] not in failed:
            failed.append(trial["x"])
            raise ConnectionError("flaky")
        return trial["x"]

    study = run(objective, retries=1)
    again = [trial for trial in study.trials if trial.retry_of is not None]
    assert [trial.retry_of for trial in again] == [trial.number - 1 for trial in again]
    assert [trial["x"] for trial in again] == failed
    assert study.counts()["complete"] == 12
    assert len(study.trials) == 12 + len(failed)


def test_retries_are_used_up_before_a_failure_counts():
    with pytest.raises(SearchFailedError, match="trial 2 failed before any") as failure:
        run(failing_at(*range(12)), retries=2)
    assert [trial.retry_of for trial in failure.value.study.trials] == [None, 0, 1]


def test_ctrl_c_ends_the_search_in_order():
    told = []

    class Observer:
        @hookimpl
        def hpsearch_tell(self, trial):
            told.append((trial.number, str(trial.state)))

        @hookimpl
        def hpsearch_close(self, error):
            told.append(type(error).__name__)

    def objective(trial):
        if trial.number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return trial["x"]

    with pytest.raises(SearchInterrupted, match="interrupted with 2 trials complete") as interrupt:
        run(objective, plugins=[Observer()])
    assert isinstance(interrupt.value, KeyboardInterrupt)
    study = interrupt.value.study
    assert states(study) == "ccf"
    assert study.trials[2].error.type == "Interrupted"
    assert study.best.objective == min(trial["x"] for trial in study.trials[:2])
    assert told == [(0, "complete"), (1, "complete"), (2, "failed"), "SearchInterrupted"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"catch": "ValueError"}, "catch has 'V', expected subclasses of Exception"),
        ({"catch": KeyboardInterrupt}, "expected subclasses of Exception"),
        ({"max_failures": -1}, "max_failures is -1, expected a whole number of at least 0 or inf"),
        ({"max_failures": 1.5}, "max_failures is 1.5"),
        ({"max_failures": math.nan}, "max_failures is nan"),
        ({"max_failures": True}, "max_failures is True"),
        ({"retries": -1}, "retries is -1, expected a whole number of at least 0"),
        ({"retries": None}, "retries is None"),
    ],
)
def test_a_bad_policy_is_refused_before_the_first_trial(options, message):
    with pytest.raises(ArgumentError, match=message):
        run(lambda trial: pytest.fail("a trial ran"), **options)


class InReverse(Executor):
    """An executor that holds ``n_workers`` trials open and ends the last one first."""

    def __init__(self, n_workers):
        self.n_workers = n_workers
        self.open_trials = []
        self.most_open = 0

    def open(self, history, evaluate):
        self.history, self.evaluate = history, evaluate

    def submit(self, trial):
        self.open_trials.append(trial)
        self.most_open = max(self.most_open, len(self.open_trials))

    def wait(self):
        trial = self.open_trials.pop()
        return trial, self.evaluate.run(trial, self.history.channel(trial))

    def close(self):
        pass


def test_in_parallel_failures_count_in_the_order_in_which_trials_end():
    executor = InReverse(3)
    study = run(failing_at(0, 1), executor=executor)
    assert executor.most_open == 3
    assert states(study) == "ff" + "c" * 10


def test_in_parallel_no_trial_starts_after_the_failure_and_running_ones_end():
    with pytest.raises(SearchFailedError, match="trial 2 failed before any") as failure:
        run(failing_at(2), executor=InReverse(3))
    assert states(failure.value.study) == "ccf"
    assert all(trial.state is not TrialState.RUNNING for trial in failure.value.study.trials)


def test_what_is_kept_of_an_error_has_no_password():
    def objective(trial):
        raise ConnectionError("no answer from postgres://me:s3cret@host/db")

    with pytest.raises(SearchFailedError) as caught:
        hpsearch.search(objective, {"x": Float(0, 1)}, backend="random", progress=False)
    error = caught.value.study.trials[0].error
    assert "s3cret" not in error.message + error.traceback
    assert "postgres://***@host/db" in error.message


class Unusual(BaseException):
    """What a library for concurrent code raises: no ``Exception``."""


def unusual(trial):
    if trial.number == 1:
        raise Unusual("odd")
    return 1.0


@pytest.mark.parametrize("executor", ["inline", "process"])
def test_whatever_an_objective_raises_fails_its_trial(executor):
    study = hpsearch.search(
        unusual,
        {"x": Float(0, 1)},
        backend="random",
        n_trials=3,
        executor=executor,
        progress=False,
    )
    assert [str(trial.state) for trial in study.trials] == ["complete", "failed", "complete"]
    assert study.trials[1].error.type.endswith("Unusual")


def test_what_is_logged_of_an_error_can_be_written_to_any_file(caplog):
    def objective(trial):
        raise ValueError("half \ud800 a character")

    with pytest.raises(SearchFailedError):
        hpsearch.search(objective, {"x": Float(0, 1)}, backend="random", progress=False)
    assert caplog.text.encode()
    assert r"half \ud800 a character" in caplog.text
