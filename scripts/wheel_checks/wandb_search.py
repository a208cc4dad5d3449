"""What must work with `pip install hpsearch-wandb`, then with `hpsearch install wandb`, alone."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hpsearch
from hpsearch.errors import BackendError

ABSENT = ("optuna", "pytest", "ray", "sigopt", "torch", "transformers")


def sweep(method: str) -> dict[str, Any]:
    return {
        "method": method,
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"min": -10.0, "max": 10.0}},
    }


def objective(trial: hpsearch.Trial) -> float:
    x: float = trial.config["x"]
    return (x - 2.0) ** 2


def main() -> None:
    assert not [name for name in ABSENT if find_spec(name)]

    study = hpsearch.search(objective, sweep("random"), n_trials=3, seed=0)
    assert study.backend == "wandb"
    assert len(list(Path("wandb").glob("offline-run-*"))) == 3
    said = "nothing"
    try:
        hpsearch.search(objective, sweep("bayes"), n_trials=2)
    except BackendError as error:
        said = str(error)
    assert "hpsearch install wandb" in said

    subprocess.run([Path(sys.executable).with_name("hpsearch"), "install", "wandb"], check=True)
    study = hpsearch.search(objective, sweep("bayes"), n_trials=4, seed=0)
    assert study.best.objective == min(t.objective for t in study.trials if t.objective is not None)


if __name__ == "__main__":
    main()
