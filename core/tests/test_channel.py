"""A trial that runs elsewhere: evaluate is pickled, and what crosses is JSON text."""

from __future__ import annotations

import multiprocessing
import pickle
from functools import partial

import pytest

import hpsearch
from hpsearch import Float, Int
from hpsearch.execution.evaluate import Evaluate
from hpsearch.execution.executor import Executor
from hpsearch.execution.messages import MessageChannel, answer
from hpsearch.study.serial import dumps, loads, outcome_from_dict, outcome_to_dict, payload_of


def objective(trial):
    trial.annotate("where", "elsewhere")
    for step in range(5):
        trial.report(trial["x"] + step, step)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    if trial["x"] > 0.9:
        raise ValueError("too large")
    if trial["x"] < 0.1:
        trial.stop_study()
    return trial["x"]


def suggesting(trial):
    depth = trial.suggest_int("depth", 1, 3)
    return depth + trial.suggest_float("x", 0, 1)


def changing(trial):
    trial.suggest_float("x", 0, 1)
    return trial.suggest_float("x", 0, 2)


def work(connection, pickled, payload):
    """Run one trial in a worker process, with nothing but JSON text on the pipe."""

    def send(message):
        connection.send(dumps(message))
        return loads(connection.recv())

    outcome = pickle.loads(pickled)(loads(payload), partial(MessageChannel, send=send))
    connection.send(dumps({"outcome": outcome_to_dict(outcome)}))


class OneProcessPerTrial(Executor):
    """An executor for tests: each trial in a spawned process, JSON text on a pipe."""

    n_workers = 1

    def open(self, history, evaluate):
        self.history, self.pickled = history, pickle.dumps(evaluate)

    def submit(self, trial):
        self.trial = trial

    def wait(self):
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        payload = dumps(payload_of(self.trial))
        process = context.Process(target=work, args=(theirs, self.pickled, payload))
        process.start()
        theirs.close()
        with ours:
            try:
                while "outcome" not in (message := loads(ours.recv())):
                    ours.send(dumps(answer(self.history, self.trial, message)))
                process.join()
            finally:
                process.kill()
        return self.trial, outcome_from_dict(message["outcome"])

    def close(self):
        pass


def story(study):
    return [
        (dict(t), t.objectives, t.intermediate, t.attrs, str(t.state), t.error and t.error.type)
        for t in study.trials
    ]


@pytest.mark.parametrize(
    ("function", "space"), [(objective, {"x": Float(0, 1)}), (suggesting, None)]
)
def test_a_trial_elsewhere_has_the_same_story_as_one_here(function, space):
    settings = {"backend": "random", "n_trials": 6, "seed": 3, "catch": ValueError}
    here = hpsearch.search(function, space, progress=False, **settings)
    there = hpsearch.search(
        function, space, progress=False, executor=OneProcessPerTrial(), **settings
    )
    assert story(here) == story(there)


def test_a_mistake_of_the_trials_comes_back_to_it_and_fails_it_alone():
    study = hpsearch.search(
        changing,
        None,
        backend="random",
        n_trials=2,
        max_failures=5,
        progress=False,
        executor=OneProcessPerTrial(),
    )
    assert [trial.error.type for trial in study.trials] == ["hpsearch.errors.SpaceError"] * 2
    assert "one name has one distribution" in study.trials[0].error.message


def test_a_space_function_is_called_where_the_trial_runs():
    received = []

    class Channel(MessageChannel):
        def derive(self, values):
            received.append(values)

    evaluate = Evaluate(lambda trial: trial["batch"], lambda trial: {"batch": 2 ** trial["k"]}, 1)
    payload = {"number": 0, "id": "0", "params": {"k": 4}, "study_seed": 0, "resume_from": None}
    assert evaluate(payload, lambda record: Channel(record, dict)).objectives == (16.0,)
    assert received == [{"batch": 16}]


def test_derived_values_stand_beside_the_searched_ones():
    def space(trial):
        return {"batch": 2 ** trial.suggest_int("k", 3, 6), "fixed": "yes"}

    study = hpsearch.search(
        lambda trial: trial["batch"], space, backend="random", n_trials=3, seed=1, progress=False
    )
    for trial in study.trials:
        assert dict(trial.params) == {"k": trial["k"]}
        assert dict(trial.derived) == {"batch": 2 ** trial["k"], "fixed": "yes"}
        assert trial.objective == 2 ** trial["k"]
    assert set(study.best.hyperparameters) == {"k", "batch", "fixed"}
    assert study.trials[0].distributions == {"k": Int(3, 6)}
