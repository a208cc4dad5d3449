"""Pruning: a pruner of the core's, and one of your own, with a backend that has none."""

import time

import hpsearch
from hpsearch import Float
from hpsearch.pruners import MedianPruner, Pruner


def objective(trial):
    for epoch in range(10):
        loss = abs(trial["lr"] - 0.01) * 20 + 1 / (epoch + 1)
        trial.report(loss, epoch)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    return loss


class TimeBudget(Pruner):
    """Stops a trial that would need more than so many seconds for all of its steps."""

    def __init__(self, seconds, steps):
        self.seconds = seconds
        self.steps = steps

    def should_prune(self, trial, step, cost):
        spent = time.time() - trial.started
        return spent / (step + 1) * self.steps > self.seconds


space = {"lr": Float(1e-4, 1e-1, log=True)}
study = hpsearch.search(
    objective,
    space,
    backend="random",
    pruner=MedianPruner(n_startup_trials=4, n_warmup_steps=3),
    n_trials=40,
    seed=1,
)
print(study.counts())

study = hpsearch.search(objective, space, backend="random", pruner=TimeBudget(60, 10), seed=1)
print(study.counts())
