"""Search with a third-party plugin, ``examples/hpsearch-cmaes``."""

import hpsearch
from hpsearch import Float, Int


def objective(trial):
    return (trial["x"] - 0.3) ** 2 + abs(trial["n"] - 7)


space = {"x": Float(-1, 1), "n": Int(1, 10)}
study = hpsearch.search(objective, space, backend="cmaes", n_trials=100, seed=0)
print(study.best)
