"""Ray Tune as the engine: its search spaces, schedulers, search algorithms and workers."""

import json
from pathlib import Path

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, PopulationBasedTraining
from ray.tune.search.optuna import OptunaSearch

import hpsearch

# Several searches share one Ray; a search that finds none starts and ends its own.

ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")


def objective(trial):
    goal = abs(trial["lr"] - 0.01) * 20 + abs(trial["layers"] - 3) * 0.1
    for epoch in range(1, 11):
        loss = goal + 1 / epoch
        trial.report(loss, epoch)
    return loss


space = {"lr": tune.loguniform(1e-4, 1e-1), "layers": tune.randint(1, 7)}

study = hpsearch.search(
    objective,
    space,
    backend="ray",
    n_trials=12,
    seed=1,
    scheduler=ASHAScheduler(time_attr="step", max_t=10, grace_period=2),
    resources_per_trial={"cpu": 1},
    storage_path="results",
)
print(study.best.hyperparameters, study.counts())
print(study.native.get_best_result().metrics["objective"])

# A search algorithm of Ray's, and no more than two trials at a time.

study = hpsearch.search(
    objective,
    space,
    backend="ray",
    n_trials=12,
    search_alg=OptunaSearch(seed=1),
    n_workers=2,
    storage_path="results",
)
print(study.best.hyperparameters)

# A grid is tried in Tune's order, and ends the search.

grid = {"lr": tune.grid_search([0.001, 0.01, 0.1]), "model": {"layers": tune.grid_search([2, 3])}}

study = hpsearch.search(
    lambda trial: trial.config["lr"] * trial.config["model"]["layers"],
    grid,
    backend="ray",
    storage_path="results",
)
print(len(study.trials), study.best.hyperparameters)

# Population-based training: poor trials go on from good ones' checkpoints, with other parameters.


def trained(trial):
    loss, start = 10.0, 0
    if trial.resume_from:
        loss, start = json.loads(Path(trial.resume_from, "state.json").read_text())
    for epoch in range(start, 8):
        loss *= 1 - trial["lr"]
        folder = Path("checkpoints", trial.id, str(epoch))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.json").write_text(json.dumps([loss, epoch + 1]))
        trial.report(loss, epoch, checkpoint=folder)
    return loss


study = hpsearch.search(
    trained,
    {"lr": tune.uniform(0.01, 0.5)},
    backend="ray",
    n_trials=4,
    scheduler=PopulationBasedTraining(
        time_attr="step",
        perturbation_interval=2,
        hyperparam_mutations={"lr": tune.uniform(0.01, 0.5)},
    ),
    storage_path="results",
)
print(study.best.objective, study.best.checkpoint)

ray.shutdown()
