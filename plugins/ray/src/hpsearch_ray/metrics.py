"""The names under which trials report to Ray, and Ray's names for trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

OBJECTIVE: Final = "objective"
"""The metric of a study with one direction."""

STEP: Final = "step"
"""The step of a report, as the trial counts."""

MESSAGES: Final = "hpsearch"
"""What a worker has to say to the study, as JSON text."""


def metric_names(directions: int) -> tuple[str, ...]:
    """Return the metrics of a study: ``objective``, or ``objective_0`` and so on."""
    if directions == 1:
        return (OBJECTIVE,)
    return tuple(f"{OBJECTIVE}_{index}" for index in range(directions))


def mode_of(direction: str) -> str:
    """Return Ray's word for a direction."""
    return "min" if direction == "minimize" else "max"


def as_metrics(values: Sequence[float]) -> dict[str, float]:
    """Return objective values by metric."""
    return dict(zip(metric_names(len(values)), values, strict=True))


def trial_id(prefix: str, number: int) -> str:
    """Return Ray's id for a trial: a prefix of the search's own and the trial's number."""
    return f"{prefix}_{number:05d}"


def number_of(trial_id: str) -> int:
    """Return the number of the trial with that id in Ray."""
    return int(trial_id.rpartition("_")[2])
