"""SigOpt as the engine: its own optimiser in this process, and the experiments that it knows."""

import hpsearch
from hpsearch import Categorical, Float, Int


def objective(trial):
    return (trial["lr"] * 100 - 1) ** 2 + trial["layers"] * 0.1


space = {
    "lr": Float(1e-4, 1e-1, log=True),
    "layers": Int(1, 6),
    "optimizer": Categorical(["adam", "sgd"]),
}

study = hpsearch.search(objective, space, backend="sigopt", n_trials=9, seed=1)
print(study.best.hyperparameters, study.native.progress.observation_count)

# A parameter list as SigOpt's users write it, on any backend.

parameters = [
    {"name": "lr", "type": "double", "bounds": {"min": 1e-4, "max": 1e-1}, "transformation": "log"},
    {"name": "layers", "type": "int", "bounds": {"min": 1, "max": 6}},
]
study = hpsearch.search(objective, parameters, backend="random", n_trials=20, seed=1)
print(study.best.hyperparameters)

# A whole experiment: conditionals, linear constraints, metrics and a budget.

experiment = {
    "name": "mixture",
    "parameters": [
        {"name": "sugar", "type": "double", "bounds": {"min": 0, "max": 1}},
        {"name": "flour", "type": "double", "bounds": {"min": 0, "max": 1}},
        {
            "name": "minutes",
            "type": "int",
            "bounds": {"min": 5, "max": 30},
            "conditions": {"oven": ["gas", "electric"]},
        },
    ],
    "conditionals": [{"name": "oven", "values": ["gas", "electric", "none"]}],
    "linear_constraints": [
        {
            "type": "less_than",
            "threshold": 1.2,
            "terms": [{"name": "sugar", "weight": 1}, {"name": "flour", "weight": 1}],
        }
    ],
    "metrics": [
        {"name": "taste", "objective": "maximize"},
        {"name": "cost", "objective": "minimize", "strategy": "constraint", "threshold": 3},
        {"name": "calories", "strategy": "store"},
    ],
    "observation_budget": 9,
}


def bake(trial):
    trial.annotate("cost", 2 * trial["sugar"] + 4 * trial["flour"])
    trial.annotate("calories", 1000 * trial["sugar"])
    return trial["sugar"] + trial["flour"] + trial.params.get("minutes", 0) / 30


study = hpsearch.search(bake, experiment, backend="sigopt", direction="maximize", seed=1)
print(study.best.hyperparameters, study.best.trial.attrs)

# Two optimised metrics: the front.


def two(trial):
    return trial["lr"], (trial["lr"] - 0.1) ** 2 + trial["layers"]


study = hpsearch.search(
    two,
    parameters,
    backend="sigopt",
    direction=["minimize", "minimize"],
    metrics=["size", "loss"],
    n_trials=9,
    seed=1,
)
print([run.objective for run in study.best_runs])
