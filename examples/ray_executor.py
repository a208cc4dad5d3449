"""Optuna suggests, Ray runs the trials: here, or on the cluster that RAY_ADDRESS names."""

import socket

import optuna

import hpsearch
from hpsearch import Float

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial):
    trial.annotate("machine", socket.gethostname())
    for step in range(5):
        trial.report((trial["x"] - 0.3) ** 2 + 1 / (step + 1), step)
    return (trial["x"] - 0.3) ** 2


study = hpsearch.search(
    objective,
    {"x": Float(0, 1)},
    backend="optuna",
    n_trials=20,
    seed=1,
    executor="ray",
    resources_per_trial={"cpu": 1},
    retries=1,
    storage_path="results",
)
print(study.best.hyperparameters, study.counts())
print({trial.attrs["machine"] for trial in study.trials})
