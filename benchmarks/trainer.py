"""A Trainer search beside ``Trainer.hyperparameter_search`` of transformers, on the same trials."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.measure import Row, in_pairs

os.environ.setdefault("HF_HUB_OFFLINE", "1")

TRIALS = 6
PAIRS = 3


def rows() -> Iterator[Row]:
    """Yield the rows of this benchmark."""
    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("hpsearch").setLevel(logging.ERROR)
    results: dict[str, list[Any]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = in_pairs(ours(folder, results["ours"]), theirs(folder, results["theirs"]), PAIRS)
    same = [r.hyperparameters for r in results["ours"]] == [
        r.hyperparameters for r in results["theirs"]
    ]
    yield Row(
        f"Trainer search with Optuna, {TRIALS} trials, beside transformers' own"
        + ("" if same else " (NOT the same trials)"),
        f"{times.medians[0]:.2f} s",
        f"{times.medians[1]:.2f} s",
        f"{times.ratio:.3f}",
        "1.00 (+0.03)",
        same and times.ratio <= 1.03,
    )


def space(trial: Any) -> dict[str, Any]:
    """Search what keeps every trial equally long."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.0, 0.1),
    }


def trainer(folder: str) -> Any:
    """Build a Trainer of a small ViT on handwritten digits."""
    from hpsearch.cli import demonstration as demo

    made = demo.make_trainer(folder)
    made.model_init = lambda: demo.model_init(None)  # of one depth: every trial is equally long
    return made


def ours(folder: str, results: list[Any]) -> Callable[[], object]:
    """Return a search of ours."""
    from optuna.pruners import NopPruner

    from hpsearch.transformers import hyperparameter_search

    def run() -> None:
        results.append(
            hyperparameter_search(
                trainer(folder),
                hp_space=space,
                n_trials=TRIALS,
                backend="optuna",
                seed=1,
                pruner=NopPruner(),
                progress=False,
            )
        )

    return run


def theirs(folder: str, results: list[Any]) -> Callable[[], object]:
    """Return the same search with transformers' own method."""
    from optuna.pruners import NopPruner
    from optuna.samplers import TPESampler

    def run() -> None:
        results.append(
            trainer(folder).hyperparameter_search(
                hp_space=space,
                n_trials=TRIALS,
                backend="optuna",
                sampler=TPESampler(seed=1),
                pruner=NopPruner(),
            )
        )

    return run
