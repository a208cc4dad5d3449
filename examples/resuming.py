"""A journal: stop a search in the middle, go on, go on with another backend, and read it."""

import hpsearch
from hpsearch import Int, SearchInterrupted
from hpsearch.storage.journal import Durable, load, names

space = {"layers": Int(1, 6), "width": Int(16, 128, step=16)}
impatient = True


def objective(trial):
    if impatient and trial.number == 7:
        raise KeyboardInterrupt  # what Ctrl-C does
    return abs(trial["layers"] - 3) + abs(trial["width"] - 64) / 64


def run(n_trials, backend="random"):
    return hpsearch.search(
        objective,
        space,
        backend=backend,
        n_trials=n_trials,
        storage="study.db",
        resume=True,
    )


try:
    run(n_trials=20)
except SearchInterrupted as stopped:
    print(stopped, stopped.study.best.objective)

impatient = False
study = run(n_trials=20)
print(study.counts())

study = run(n_trials=None, backend="grid")
print(len(study.trials), study.best.hyperparameters)

study = load("study.db")
print(names("study.db"), study.best.objective, study.trials[7].state)

hpsearch.search(
    objective,
    space,
    backend="random",
    n_trials=5,
    storage=Durable("study.db"),
    name="another",
    enqueue=[{"layers": 2, "width": 32}],
)
print(names("study.db"))
