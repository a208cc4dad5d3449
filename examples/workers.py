"""Worker processes: several trials at a time, a limit on their time, and a worker that dies."""

import os
import time

import hpsearch
from hpsearch import Float


def objective(trial):
    for step in range(5):
        time.sleep(0.01)  # the work
        trial.report((trial["x"] - 0.3) ** 2 + 1 / (step + 1), step)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    return (trial["x"] - 0.3) ** 2


space = {"x": Float(0, 1)}
study = hpsearch.search(
    objective, space, backend="random", n_trials=20, seed=1, executor="process", n_workers=2
)
print(f"x = {study.best.hyperparameters['x']:.2f} after {len(study.trials)} trials")


def unlucky(trial):
    if trial.number == 3:
        os.abort()  # as a crash in a library would
    if trial.number == 5:
        time.sleep(600)  # as a deadlock would
    return objective(trial)


study = hpsearch.search(
    unlucky,
    space,
    backend="random",
    n_trials=10,
    seed=1,
    executor="process",
    n_workers=2,
    trial_timeout=2,
    retries=1,
)
for trial in study.trials:
    if trial.error is not None:
        print(f"trial {trial.number}: {trial.error.message}")
print(study.counts())
