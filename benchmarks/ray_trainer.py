"""Short Trainer trials on Ray Tune beside ``Trainer.hyperparameter_search(backend="ray")``."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, seconds

os.environ.setdefault("HF_HUB_OFFLINE", "1")

TRIALS = 12
CPUS = 2
"""What Ray has on both sides; a trial takes one."""


def rows() -> Iterator[Row]:
    """Yield the rows of this benchmark."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AIR_NEW_OUTPUT="0")  # Ray says less
    os.environ["OMP_NUM_THREADS"] = "1"
    import ray

    logging.getLogger("hpsearch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(
            num_cpus=CPUS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )
        try:
            theirs, ours = Theirs(folder), Ours(folder)
            their_seconds = seconds(theirs.search)
            ours.enqueue = theirs.params
            our_seconds = seconds(ours.search)
        finally:
            ray.shutdown()
    same = ours.objectives == theirs.objectives
    yield Row(
        f"Trainer search on Ray, {TRIALS} trials, {CPUS} at a time, beside transformers' own"
        + ("" if same else " (NOT the same objectives)"),
        f"{our_seconds:.2f} s",
        f"{their_seconds:.2f} s",
        f"{our_seconds / their_seconds:.3f}",
        "0.33",
        same and our_seconds <= their_seconds / 3,
    )


def trainer(folder: str) -> Any:
    """Build a Trainer of a small ViT on handwritten digits, whose trials take a second or less."""
    from hpsearch.cli import demonstration as demo

    made = demo.make_trainer(folder)
    made.model_init = lambda: demo.model_init(None)
    made.args.num_train_epochs = 1
    return made


def space(_trial: object) -> dict[str, Any]:
    """Search what keeps every trial equally long."""
    from ray import tune

    return {
        "learning_rate": tune.loguniform(1e-4, 1e-2),
        "weight_decay": tune.uniform(0.0, 0.1),
    }


class Theirs:
    """The search of transformers itself, and what it tried."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.params: list[dict[str, Any]] = []
        self.objectives: list[float] = []

    def search(self) -> None:
        """Run it."""
        best = trainer(self._folder).hyperparameter_search(
            hp_space=space,
            n_trials=TRIALS,
            backend="ray",
            direction="minimize",
            compute_objective=_loss,
            storage_path=str(Path(self._folder, "theirs")),
            verbose=0,
        )
        for tried in best.run_summary.trials:
            self.params.append({name: tried.config[name] for name in space(None)})
            self.objectives.append(tried.last_result["objective"])


class Ours:
    """The search of hpsearch, with the same trials."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.enqueue: list[dict[str, Any]] = []
        self.objectives: list[float | None] = []

    def search(self) -> None:
        """Run it."""
        from hpsearch.transformers import hyperparameter_search

        best: Any = hyperparameter_search(
            trainer(self._folder),
            hp_space=space,
            n_trials=TRIALS,
            backend="ray",
            compute_objective=_loss,
            enqueue=self.enqueue,
            storage_path=Path(self._folder, "ours"),
            progress=False,
        )
        self.objectives.extend(trial.objective for trial in best.study.trials)


def _loss(metrics: dict[str, float]) -> float:
    return metrics["eval_loss"]
