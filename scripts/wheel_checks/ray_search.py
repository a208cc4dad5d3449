"""What must work with `pip install hpsearch-ray` and nothing else."""

from __future__ import annotations

from importlib.util import find_spec

import ray
from ray import tune

import hpsearch

ABSENT = ("optuna", "pytest", "sigopt", "torch", "transformers", "wandb")


def objective(trial: hpsearch.Trial) -> float:
    x: float = trial.config["x"]
    return (x - 2.0) ** 2


def main() -> None:
    assert not [name for name in ABSENT if find_spec(name)]

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    space = {"x": tune.uniform(-10.0, 10.0)}
    study = hpsearch.search(objective, space, n_trials=6, seed=0)
    assert study.backend == "ray"
    assert len(study.trials) == 6
    assert study.best.objective == min((t["x"] - 2.0) ** 2 for t in study.trials)


if __name__ == "__main__":
    main()
