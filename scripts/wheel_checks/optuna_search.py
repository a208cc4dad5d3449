"""What must work with `pip install hpsearch-optuna` and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import hpsearch

ABSENT = ("pytest", "ray", "sigopt", "torch", "transformers", "wandb")


def objective(trial: Mapping[str, Any]) -> float:
    x: float = trial["x"]
    return (x - 2.0) ** 2


def main() -> None:
    assert not [name for name in ABSENT if find_spec(name)]

    space = {"x": hpsearch.Float(-10.0, 10.0)}
    study = hpsearch.search(objective, space, backend="optuna", n_trials=20, seed=0)
    assert len(study.trials) == 20
    assert study.best.objective == min(objective(trial) for trial in study.trials)

    # The only engine that is installed is the one chosen when none is named.
    assert hpsearch.search(objective, space, n_trials=2).backend == "optuna"


if __name__ == "__main__":
    main()
