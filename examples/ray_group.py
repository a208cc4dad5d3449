"""Each trial in two workers of a Ray cluster, which torch.distributed connects."""

import torch
from torch import distributed

import hpsearch
from hpsearch import Float


def objective(trial):
    torch.manual_seed(trial.seed)
    weight = torch.zeros(1, requires_grad=True)
    for step in range(5):
        loss = ((weight - 3 + distributed.get_rank()) ** 2).mean()
        loss.backward()
        distributed.all_reduce(weight.grad)
        with torch.no_grad():
            weight -= trial["lr"] * weight.grad / distributed.get_world_size()
        weight.grad = None
        value = loss.detach()
        distributed.all_reduce(value)
        trial.report(float(value), step)
    return float(value)


study = hpsearch.search(
    objective,
    {"lr": Float(1e-3, 1.0, log=True)},
    backend="optuna",
    n_trials=2,
    seed=1,
    executor="ray",
    workers_per_trial=2,
    resources_per_trial={"cpu": 1},
    storage_path="results",
)
print(study.best.objective, study.best.hyperparameters)
