"""Executors: what is asked of them, what they may tell, and how their mistakes are named."""

from __future__ import annotations

import math
import threading
import time

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.errors import ArgumentError, BackendError, HpsearchError, SearchInterrupted
from hpsearch.execution.executor import Executor, LoopExecutor
from hpsearch.plugins import registry
from hpsearch.study.outcome import Outcome, TrialState
from hpsearch.testing.distributions import fake_distribution, importable
from hpsearch.testing.executors import SeveralOpen


class WholeSearch(LoopExecutor):
    """Runs what it is asked for here, one trial at a time."""

    n_workers = None

    def run(self, study, evaluate):
        history = study.history
        while history.may_start() and (trial := history.ask()) is not None:
            trial.annotate("by", "me")
            history.tell(trial, evaluate.run(trial, history.channel(trial)))


def objective(trial):
    if trial.number == 1:
        raise RuntimeError("no luck")
    return trial["x"]


def search(**options):
    space = {"x": Float(0, 1, step=0.25)}
    return hpsearch.search(objective, space, seed=1, retries=1, progress=False, **options)


def test_an_executor_that_runs_the_search_gives_the_same_trials():
    """Retries, and the end of a finite space, are the history's."""
    there = search(backend="grid", executor=WholeSearch())
    here = search(backend="grid")
    assert len(there.trials) == 6
    assert [(t.params, t.objectives, t.retry_of) for t in there.trials] == [
        (t.params, t.objectives, t.retry_of) for t in here.trials
    ]
    assert {trial.attrs["by"] for trial in there.trials} == {"me"}


# The total, however many threads ask.


class InThreads(LoopExecutor):
    """Eight threads that start trials on their own."""

    n_workers = 8

    def run(self, study, evaluate):
        problems = []

        def work():
            try:
                control = study.history
                while control.may_start() and (trial := control.ask()) is not None:
                    control.tell(trial, evaluate.run(trial, control.channel(trial)))
            except Exception as error:
                problems.append(error)

        threads = [threading.Thread(target=work) for _ in range(self.n_workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if problems:
            raise problems[0]


def slow(trial):
    time.sleep(0.001)
    if trial["x"] < 0.3 and trial.retry_of is None:
        raise ConnectionError
    return trial["x"]


def in_threads(**options):
    settings = {"backend": "random", "n_trials": 60, "seed": 1, "max_failures": math.inf}
    options = {**settings, "progress": False, "executor": InThreads(), **options}
    return hpsearch.search(slow, {"x": Float(0, 1)}, **options)


@pytest.mark.parametrize("retries", [0, 1, 2])
@pytest.mark.parametrize("enqueued", [0, 20, 60])
def test_eight_threads_start_no_more_trials_than_the_total(retries, enqueued):
    enqueue = [{"x": k / 100} for k in range(enqueued)]
    study = in_threads(retries=retries, enqueue=enqueue)
    first = [trial for trial in study.trials if trial.retry_of is None]
    assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
    assert len(first) == 60
    assert [trial["x"] for trial in first[:enqueued]] == [point["x"] for point in enqueue]
    failed = [trial.number for trial in first if trial.state == "failed"]
    assert failed
    again = sorted(t.retry_of for t in study.trials if t.retry_of is not None)
    assert again == (failed if retries else [])


@pytest.mark.parametrize("retries", [0, 1])
def test_eight_threads_that_resume_start_no_more_trials_than_the_total(tmp_path, retries):
    path = tmp_path / "study.db"
    for total in (25, 60):
        study = in_threads(n_trials=total, retries=retries, storage=path, resume=True)
        assert sum(trial.retry_of is None for trial in study.trials) == total
    assert study.counts()["running"] == 0
    loaded = hpsearch.load(path)
    assert [(t.number, t.params, t.retry_of) for t in loaded.trials] == [
        (t.number, t.params, t.retry_of) for t in study.trials
    ]


def test_a_trial_begun_beyond_the_total_is_an_error_of_the_backend():
    class Begins(LoopExecutor):
        n_workers = None

        def run(self, study, evaluate):
            for k in range(5):  # three, one that runs again, and one too many
                trial = study.history.begin({"x": k / 4})
                study.history.tell(trial, evaluate.run(trial, study.history.channel(trial)))

    with pytest.raises(BackendError, match="began a trial more than the 3 of n_trials"):
        search(backend="random", n_trials=3, executor=Begins(), max_failures=9)


# What an executor may not tell.


class Tells(LoopExecutor):
    """Tells an outcome of its own, from a thread whose errors nobody sees."""

    n_workers = None

    def __init__(self, *outcomes):
        self.outcomes = outcomes
        self.errors = []

    def run(self, study, evaluate):
        trial = study.history.ask()

        def tell():
            for outcome in self.outcomes:
                try:
                    study.history.tell(trial, outcome)
                except Exception as error:
                    self.errors.append(error)

        thread = threading.Thread(target=tell)
        thread.start()
        thread.join()
        self.trial = trial
        self.history = study.history


COMPLETE = TrialState.COMPLETE


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Outcome(COMPLETE), "as complete with 0 objective values, expected 1; the study has 1 dir"),
        (Outcome(COMPLETE, (1.0, 2.0)), "as complete with 2 objective values, expected 1"),
        (Outcome(COMPLETE, (math.nan,)), r"the objectives \(nan,\), expected finite numbers"),
        (Outcome(TrialState.PRUNED, (1.0,)), "as pruned with 1 objective values, expected 0"),
        (Outcome(TrialState.RUNNING), "as running, expected complete, pruned or failed"),
    ],
)
def test_an_outcome_that_no_evaluation_returns_ends_the_search_wherever_it_is_told(
    outcome, message
):
    with pytest.raises(BackendError, match=f"trial 0 was told.* {message}"):
        search(backend="random", n_trials=3, executor=Tells(outcome))


def test_a_trial_is_told_once_and_whoever_tells_it_again_gets_an_error():
    executor = Tells(Outcome(COMPLETE, (1.0,)), Outcome(COMPLETE, (2.0,)))
    study = search(backend="random", n_trials=3, executor=executor)
    assert [trial.objective for trial in study.trials] == [1.0]
    (error,) = executor.errors
    assert type(error) is HpsearchError
    assert "a trial is told once" in str(error)


def test_a_trial_told_after_the_end_of_its_search_changes_nothing():
    executor = Tells(Outcome(COMPLETE, (1.0,)))
    study = search(backend="random", n_trials=3, executor=executor)
    with pytest.raises(HpsearchError, match="trial 0 is not running"):
        executor.history.tell(executor.trial, Outcome(COMPLETE, (2.0,)))
    with pytest.raises(HpsearchError, match="trial 0 is not running"):
        executor.history.channel(executor.trial).report(3, (1.0,))
    assert study.trials[0].objective == 1.0
    assert study.trials[0].intermediate == {}


def test_an_executor_that_leaves_a_trial_running_is_named():
    with pytest.raises(BackendError, match="executor Tells ended .* these trials ended: 0"):
        search(backend="random", n_trials=3, executor=Tells())


# What is wrong with an executor is said with its name.


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


ODD = [OSError("no cluster"), SystemExit(3), NoText(), KeyError("x"), RuntimeError("odd")]


class Fails(Executor):
    n_workers = 1

    def __init__(self, where, error):
        self.where, self.error = where, error

    def met(self, where):
        if where == self.where:
            raise self.error

    def open(self, control, evaluate):
        self.control, self.evaluate = control, evaluate
        self.met("open")

    def submit(self, trial):
        self.trial = trial
        self.met("submit")

    def wait(self):
        self.met("wait")
        return self.trial, self.evaluate.run(self.trial, self.control.channel(self.trial))

    def close(self):
        self.met("close")


class FailsToRun(LoopExecutor):
    n_workers = None

    def __init__(self, error):
        self.error = error

    def run(self, study, evaluate):
        study.history.ask()
        raise self.error


@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["open", "submit", "wait", "close", "run"])
def test_an_executor_that_fails_is_named(where, error):
    executor = FailsToRun(error) if where == "run" else Fails(where, error)
    name = type(executor).__name__
    with pytest.raises(BackendError, match=f"executor {name} failed .*{type(error).__name__}") as e:
        search(backend="random", n_trials=2, executor=executor, max_failures=9)
    assert e.value.__cause__ is error


def test_ctrl_c_in_an_executor_is_ctrl_c():
    with pytest.raises(SearchInterrupted) as interrupt:
        search(backend="random", n_trials=2, executor=Fails("wait", KeyboardInterrupt()))
    assert [trial.error.type for trial in interrupt.value.study.trials] == ["Interrupted"]


def test_an_executor_with_a_method_called_run_is_still_an_executor():
    class Runs(SeveralOpen):
        def run(self, study, evaluate):
            pytest.fail("it was taken for the other kind")

    study = search(backend="random", n_trials=3, executor=Runs(2), max_failures=9)
    assert sum(trial.retry_of is None for trial in study.trials) == 3


class Duck:
    n_workers = 1

    def open(self, control, evaluate): ...
    def submit(self, trial): ...
    def wait(self): ...
    def close(self): ...
    def run(self, study, evaluate): ...


@pytest.mark.parametrize("given", [Duck(), Duck, SeveralOpen, object()])
def test_what_is_not_an_executor_is_refused(given):
    with pytest.raises(ArgumentError, match="a subclass of hpsearch.execution.Executor"):
        search(backend="random", n_trials=2, executor=given)


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", None, True])
def test_an_executor_has_a_number_of_workers(workers):
    executor = Fails("", None)
    executor.n_workers = workers
    with pytest.raises(BackendError, match="n_workers of executor Fails is"):
        search(backend="random", n_trials=2, executor=executor)


BODY = """
from hpsearch.execution.executor import Executor, LoopExecutor

class Example(Executor):
    n_workers = 1
    def __init__(self, n_workers, options): {init}
    def open(self, control, evaluate): raise OSError("no cluster")
    def submit(self, trial): ...
    def wait(self): ...
    def close(self): ...
"""

INSTALLED = {
    "raises when made": (BODY.format(init="raise OSError('no licence')"), "failed to start: OSErr"),
    "exits when made": (BODY.format(init="raise SystemExit(3)"), "failed to start: SystemExit: 3"),
    "takes other arguments": (
        BODY.format(init="...").replace("n_workers, options", "workers"),
        "failed to start: TypeError",
    ),
    "does not open": (BODY.format(init="..."), "failed in hpsearch_run: OSError: no cluster"),
    "exits at its import": ("raise SystemExit(3)", "cannot be imported .*SystemExit: 3"),
    "is not one": ("class Example:\n    def run(self): ...\n", "expected a subclass of"),
    "leaves methods out": (
        BODY.format(init="...").replace("def wait", "def wiat").replace("def close", "def end"),
        "does not implement 'close', 'wait'",
    ),
    "leaves run out": (
        "from hpsearch.execution import executor\nclass Example(executor.LoopExecutor): ...\n",
        "does not implement 'run'",
    ),
    "states no workers": (
        BODY.format(init="...").replace("    n_workers = 1\n", ""),
        "does not set n_workers",
    ),
    "states no options": (
        BODY.format(init="...").replace("    n_workers = 1\n", "    Options = dict\n"),
        "Options that are not a dataclass",
    ),
    "exits in its options": (
        "from dataclasses import dataclass\n"
        "@dataclass\nclass O:\n    a: int = 0\n    def __post_init__(self): raise SystemExit(2)\n"
        + BODY.format(init="...").replace("    n_workers = 1\n", "    Options = O\n"),
        "failed to read its options: SystemExit: 2",
    ),
}


@pytest.fixture
def install(tmp_path):
    with importable(tmp_path):

        def add(source):
            points = {"hpsearch.executors": {"example": "hpsearch_example:Example"}}
            fake_distribution(
                tmp_path, "hpsearch-example", "3.1", points, {"hpsearch_example": source}
            )
            registry._scanned.clear()

        yield add
    registry._scanned.clear()


@pytest.mark.parametrize("case", INSTALLED)
def test_a_broken_executor_is_named_with_its_distribution_and_hurts_nobody_else(case, install):
    source, message = INSTALLED[case]
    install(source)
    with pytest.raises(BackendError, match=message) as error:
        search(backend="random", n_trials=2, executor="example")
    assert "executor 'example' (hpsearch-example 3.1)" in str(error.value)
    assert len(search(backend="random", n_trials=1).trials) == 1
