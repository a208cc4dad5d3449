"""The core's loop with SigOpt's own optimiser, beside the loop that SigOpt's users write.

Both sides make the same trials, and all that they do is to compute in this process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import hpsearch
from benchmarks.measure import Row, in_pairs
from hpsearch.study.seeds import derive_seed
from hpsearch_sigopt import engine
from hpsearch_sigopt.connect import client

TRIALS = 8
PAIRS = 15
SEED = 1


def rows() -> Iterator[Row]:
    """Yield the rows of this benchmark."""
    engine.load()
    pairs = in_pairs(ours, theirs, PAIRS, clock=time.process_time)
    ms = [f"{seconds / TRIALS * 1e3:.0f} ms a trial" for seconds in pairs.medians]
    what = "loop with SigOpt's optimiser, beside suggest and observe alone, processor time"
    yield Row(what, ms[0], ms[1], f"{pairs.ratio:.3f}", "1.05", pairs.ratio <= 1.05)


def objective(point: Any) -> float:
    """Cost next to nothing."""
    x, y = point["x"], point["y"]
    return float((x - 0.3) ** 2 + (y - 0.7) ** 2)


def ours() -> list[dict[str, Any]]:
    """Run a search of ours and return its points."""
    space = {"x": hpsearch.Float(0, 1), "y": hpsearch.Float(0, 1)}
    study = hpsearch.search(
        objective, space, backend="sigopt", n_trials=TRIALS, seed=SEED, progress=False
    )
    return [dict(trial) for trial in study.trials]


def theirs() -> list[dict[str, Any]]:
    """Run the barest loop around the same optimiser, seeded alike, and return its points."""
    bounds = {"type": "double", "bounds": {"min": 0, "max": 1}}
    connection = client().Connection(driver="lite")
    experiment = connection.experiments().create(
        name="bare",
        parameters=[{"name": "x", **bounds}, {"name": "y", **bounds}],
        metrics=[{"name": "objective", "objective": "minimize"}],
        observation_budget=TRIALS,
    )
    mine = connection.experiments(experiment.id)
    points: list[dict[str, Any]] = []
    for number in range(TRIALS):
        with engine.seeded(derive_seed(SEED, "sigopt", number)):
            suggestion = mine.suggestions().create()
        points.append(dict(suggestion.assignments))
        value = [{"name": "objective", "value": objective(suggestion.assignments)}]
        mine.observations().create(suggestion=suggestion.id, values=value)
    return points
