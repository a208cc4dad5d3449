"""A search with nothing but the core installed: the built-in random backend."""

import hpsearch
from hpsearch import Categorical, Float


def objective(trial):
    return (trial["x"] - 2) ** 2 + (0 if trial["kind"] == "good" else 1)


study = hpsearch.search(
    objective,
    {"x": Float(-10, 10), "kind": Categorical(["good", "bad"])},
    backend="random",
    n_trials=50,
    seed=0,
)
print(study.best.hyperparameters, study.best.objective)
