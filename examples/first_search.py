"""The smallest search: a plain function, Optuna, pruning, and the best run."""

import hpsearch
from hpsearch import Categorical, Float, Int


def objective(trial):
    """Pretend to train: the loss falls with each epoch, the faster the better the parameters."""
    goal = abs(trial["lr"] - 0.01) * 20 + abs(trial["layers"] - 3) * 0.1
    if trial["optimizer"] == "sgd":
        goal += 0.2
    for epoch in range(10):
        loss = goal + 1 / (epoch + 1)
        trial.report(loss, epoch)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    return loss


study = hpsearch.search(
    objective,
    {
        "lr": Float(1e-4, 1e-1, log=True),
        "layers": Int(1, 6),
        "optimizer": Categorical(["adam", "sgd"]),
    },
    backend="optuna",
    n_trials=30,
    seed=1,
)
print(study.best.hyperparameters, study.best.objective)
print(study.counts())
