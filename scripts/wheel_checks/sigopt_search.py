"""What must work with `pip install hpsearch-sigopt`, then `hpsearch install sigopt`, alone."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import hpsearch
from hpsearch.errors import BackendError

ABSENT = ("optuna", "pytest", "ray", "torch", "transformers", "wandb")
SPACE = [
    {"name": "x", "type": "double", "bounds": {"min": -10, "max": 10}},
    {"name": "kind", "type": "categorical", "categorical_values": ["flat", "round"]},
]


def objective(trial: hpsearch.Trial) -> float:
    x: float = trial.assignments["x"]
    flat: bool = trial.assignments["kind"] == "flat"
    return (x - 2.0) ** 2 + flat


def main() -> None:
    assert not [name for name in ABSENT if find_spec(name)]
    said = "nothing"
    try:
        hpsearch.search(objective, SPACE, n_trials=2)
    except BackendError as error:
        said = str(error)
    assert "hpsearch install sigopt" in said

    subprocess.run([Path(sys.executable).with_name("hpsearch"), "install", "sigopt"], check=True)
    study = hpsearch.search(objective, SPACE, n_trials=12, seed=0)
    assert study.backend == "sigopt"
    assert len(study.trials) == 12
    assert study.best.objective == min(t.objective for t in study.trials if t.objective is not None)


if __name__ == "__main__":
    main()
