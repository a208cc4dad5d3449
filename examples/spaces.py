"""Spaces: portable with a condition, and the same idea written define-by-run."""

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.space.explore import explore

space = Space(
    {
        "optimizer": Categorical(["adam", "sgd"]),
        "lr": Float(1e-5, 1e-1, log=True),
        "dropout": Float(0.0, 0.5, step=0.1),
        "layers": Int(1, 6),
        "momentum": Float(0.5, 0.99),
    },
    conditions={"momentum": when(optimizer="sgd")},
)


def define_by_run(trial):
    optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd"])
    params = {"batch_size": 2 ** trial.suggest_int("batch_power", 3, 6)}
    if optimizer == "sgd":
        params["momentum"] = trial.suggest_float("momentum", 0.5, 0.99)
    return params


def objective(trial):
    return trial.get("momentum", 0.0) + trial.get("batch_size", 0)


for searched in (space, define_by_run):
    study = hpsearch.search(objective, searched, backend="random", n_trials=20, seed=1)
    print(study.best.hyperparameters)

print(explore(define_by_run).to_json())
