"""An executor may run whole searches itself."""

from __future__ import annotations

import hpsearch
from hpsearch import Float
from hpsearch.execution.executor import LoopExecutor


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
