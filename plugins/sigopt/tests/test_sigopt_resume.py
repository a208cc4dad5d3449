"""Going on with a search: the optimiser hears of every earlier trial, and draws nothing twice."""

from __future__ import annotations

import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.errors import ObjectiveError, SearchInterrupted

SPACE = {"x": Float(0.0, 1.0), "k": Int(1, 100, log=True), "c": Categorical([16, True])}


def search(objective, space=SPACE, **arguments):
    given = {"backend": "sigopt", "seed": 1, "progress": False, **arguments}
    return hpsearch.search(objective, space, **given)


def by_x(trial):
    return trial["x"]


def told(connection):
    page = connection.experiments(-1).observations().fetch()
    return [observation.to_json() for observation in page.iterate_pages()]


def test_a_resumed_search_tells_what_was_and_goes_on(tmp_path, connections):
    journal = tmp_path / "journal.db"

    def objective(trial):
        if trial.number == 1:
            raise ValueError("out of memory")
        return trial["x"]

    search(objective, n_trials=4, storage=journal, catch=ValueError)
    study = search(objective, n_trials=6, storage=journal, resume=True, catch=ValueError)
    assert [trial.number for trial in study.trials] == list(range(6))
    first, second = (told(connection) for connection in connections)
    assert second[:4] == first
    assert [observation["failed"] for observation in second] == [n == 1 for n in range(6)]
    assert len({tuple(trial.values()) for trial in study.trials}) == 6


def test_a_resumed_random_search_draws_what_an_unbroken_one_would(tmp_path):
    journal = tmp_path / "journal.db"
    whole = search(by_x, n_trials=6, type="random")
    search(by_x, n_trials=3, type="random", storage=journal)
    resumed = search(by_x, n_trials=6, type="random", storage=journal, resume=True)
    assert [dict(trial) for trial in resumed.trials] == [dict(trial) for trial in whole.trials]


def test_another_backends_journal_is_taken_over(tmp_path, connections):
    journal = tmp_path / "journal.db"
    hpsearch.search(
        by_x, SPACE, backend="random", seed=1, n_trials=6, storage=journal, progress=False
    )
    study = search(by_x, n_trials=7, storage=journal, resume=True)
    observed = told(connections[0])
    assert len(observed) == 7
    for trial, observation in zip(study.trials, observed, strict=True):
        assert observation["assignments"] == {
            "x": trial["x"],
            "k": float(trial["k"]),
            "c": "16" if trial["c"] == 16 else "true",
        }


def test_enqueued_trials_come_first_and_are_told(connections):
    point = {"x": 0.25, "k": 3, "c": True}
    study = search(by_x, n_trials=3, enqueue=[point])
    assert dict(study.trials[0]) == point
    assert told(connections[0])[0]["assignments"] == {"x": 0.25, "k": 3.0, "c": "true"}


def test_a_retried_trial_is_told_again(connections):
    def fails_once(trial):
        if trial.retry_of is None:
            raise ValueError("preempted")
        return trial["x"]

    study = search(fails_once, n_trials=2, retries=1)
    assert len(study.trials) == 4
    assert sorted(observation["failed"] for observation in told(connections[0])) == [
        False,
        False,
        True,
        True,
    ]


def test_an_interrupted_trial_is_no_failure_of_its_parameters(tmp_path, connections):
    journal = tmp_path / "journal.db"

    def interrupted(trial):
        if trial.number == 2:
            raise KeyboardInterrupt
        return trial["x"]

    with pytest.raises(SearchInterrupted):
        search(interrupted, n_trials=4, storage=journal)
    assert len(told(connections[0])) == 2
    study = search(by_x, n_trials=4, storage=journal, resume=True)
    assert [observation["failed"] for observation in told(connections[1])] == [False] * 4
    assert len(study.trials) == 4


def test_inactive_parameters_of_an_earlier_trial_stand_where_sigopt_puts_them(connections):
    """A condition on a whole number is none of SigOpt's, so it has to hear of every parameter."""
    space = Space({"n": Int(1, 2), "x": Float(0, 1), "y": Float(0, 5)}, {"y": when(n=2)})
    search(by_x, space, n_trials=1, enqueue=[{"n": 1, "x": 0.5}])
    assert told(connections[0])[0]["assignments"] == {"n": 1, "x": 0.5, "y": 5.0}


def test_a_resumed_search_goes_on_when_earlier_trials_lack_a_metric(tmp_path, connections, caplog):
    journal = tmp_path / "journal.db"
    metrics = ["loss", {"name": "memory", "strategy": "store"}]
    with pytest.raises(ObjectiveError):
        search(by_x, n_trials=3, metrics=metrics, storage=journal)

    def objective(trial):
        trial.annotate("memory", 1)
        return trial["x"]

    study = search(objective, n_trials=3, metrics=metrics, storage=journal, resume=True)
    assert len(study.trials) == 3
    assert told(connections[-1])[0]["failed"]
    assert "trial 0 says nothing of 'memory'" in caplog.text
