"""Weights & Biases: a sweep config searched offline, with a W&B run for every trial."""

import hpsearch
from hpsearch import Categorical, Float, Int, Space
from hpsearch.space import dialects

sweep_config = {
    "method": "bayes",
    "metric": {"name": "loss", "goal": "minimize"},
    "early_terminate": {"type": "hyperband", "min_iter": 3},
    "parameters": {
        "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "optimizer": {
            "parameters": {
                "kind": {"values": ["adam", "sgd"], "probabilities": [0.8, 0.2]},
                "momentum": {"min": 0.0, "max": 0.99},
            }
        },
    },
}


def objective(trial):
    goal = abs(trial["lr"] - 0.01) * 20 + abs(trial["optimizer"]["momentum"] - 0.9)
    for epoch in range(9):
        loss = goal + 1 / (epoch + 1)
        trial.report(loss, epoch)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    return loss


study = hpsearch.search(
    objective, sweep_config, backend="wandb", mode="offline", project="demo", n_trials=20, seed=1
)
print(study.best.hyperparameters, study.counts())
print("the sweep:", study.native, "and a run of it:", study.trials[0].attrs["wandb"]["dir"])

# An objective written for W&B's agent: wandb.init() is the trial's own run.


def train(trial):
    import wandb

    with wandb.init() as run:
        run.log({"number": trial.number})
        return (run.config["x"] - 1) ** 2


grid = {"method": "grid", "parameters": {"x": {"values": [0, 1, 2]}}}
study = hpsearch.search(train, grid, backend="wandb", mode="offline")
print(study.best.hyperparameters, len(study.trials))

# A sweep config on any backend, and any space as a sweep config.

portable = {"method": "random", "parameters": {"x": {"min": -5.0, "max": 5.0}}}
study = hpsearch.search(lambda trial: trial["x"] ** 2, portable, backend="random", seed=1)

space = Space({"lr": Float(1e-5, 1e-1, log=True), "layers": Int(1, 6), "bias": Categorical([True])})
print(dialects.write(space, "wandb"))
