"""The core's loop with W&B's engine beside a bare loop: the same trials and offline runs."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator

import hpsearch
from benchmarks.measure import Row, in_pairs
from hpsearch.study.record import TrialRecord

TRIALS = 10
PAIRS = 21
SEED = 1
BOUNDS = {"x": (-10.0, 10.0), "y": (-10.0, 10.0)}


def rows() -> Iterator[Row]:
    """Yield the row of this benchmark."""
    with _quiet():
        pairs = in_pairs(ours, bare, PAIRS)
    milliseconds = [f"{seconds / TRIALS * 1e3:.0f} ms a trial" for seconds in pairs.medians]
    yield Row(
        "loop with W&B's Bayesian search and an offline run for each trial",
        milliseconds[0],
        milliseconds[1],
        f"{pairs.ratio:.3f}",
        "1.05",
        pairs.ratio <= 1.05,
    )


def objective(x: float, y: float) -> float:
    """Cost next to nothing."""
    return x * x + y


def ours() -> None:
    """Search with hpsearch."""
    hpsearch.search(
        lambda trial: objective(trial["x"], trial["y"]),
        {name: hpsearch.Float(*bounds) for name, bounds in BOUNDS.items()},
        backend="wandb",
        mode="offline",
        method="bayes",
        n_trials=TRIALS,
        seed=SEED,
        progress=False,
    )


def bare() -> None:
    """Search with W&B's engine and runs alone, as its own documentation puts them together."""
    import numpy as np
    import sweeps
    import wandb

    parameters = {name: {"min": low, "max": high} for name, (low, high) in BOUNDS.items()}
    metric = {"name": "objective", "goal": "minimize"}
    config = {"method": "bayes", "metric": metric, "parameters": parameters}
    ended: list[sweeps.SweepRun] = []
    settings = wandb.Settings(sweep_id="bare")
    for number in range(TRIALS):
        np.random.seed(TrialRecord(number, study_seed=SEED).seed % 2**32)  # noqa: NPY002 - the engine's
        suggested = sweeps.next_run(config, ended)
        params = {name: float(item["value"]) for name, item in suggested.config.items()}
        run = wandb.init(
            mode="offline",
            group="bare",
            name=f"run-{number}",
            config=params,
            settings=settings,
        )
        value = objective(**params)
        run.summary["objective"] = value
        run.finish()
        ended.append(
            sweeps.SweepRun(
                name=run.id,
                state="finished",
                config=suggested.config,
                summary_metrics={"objective": value},
            )
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep W&B's runs in a folder that goes away, and its messages to itself."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ |= {"WANDB_DIR": folder, "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "0"}
        import wandb

        yield
        wandb.teardown()
