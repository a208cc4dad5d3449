"""What must work with `pip install hpsearch` and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hpsearch

ABSENT = ("numpy", "optuna", "pandas", "pytest", "torch", "transformers")
COMMAND = Path(sys.executable).with_name("hpsearch")


def command(*arguments: str) -> str:
    """Return what the installed `hpsearch` command prints."""
    return subprocess.run([COMMAND, *arguments], check=True, capture_output=True, text=True).stdout


def objective(trial: Mapping[str, Any]) -> float:
    x: float = trial["x"]
    return (x - 2.0) ** 2


def main() -> None:
    assert not [name for name in ABSENT if find_spec(name)]

    space = {"x": hpsearch.Float(-10.0, 10.0)}
    study = hpsearch.search(
        objective, space, backend="random", n_trials=20, seed=0, storage="study.db", name="wheel"
    )
    assert len(study.trials) == 20
    assert study.best.objective == min(objective(trial) for trial in study.trials)

    assert {"random", "grid"} <= {row["name"] for row in json.loads(command("backends", "--json"))}
    assert "random" in command("doctor")
    assert "wheel" in command("show", "study.db")


if __name__ == "__main__":
    main()
