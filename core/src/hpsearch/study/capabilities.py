"""What a backend can do, in a fixed vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do, in a fixed vocabulary. What is not declared is refused beforehand.

    Attributes:
        log: Searches ``Float`` and ``Int`` on a logarithmic scale.
        step: Searches ``Float`` and ``Int`` in steps.
        conditions: Searches spaces with conditional parameters.
        define_by_run: Suggests one parameter at a time while the trial runs.
        pruning: Decides itself, in ``hpsearch_report``, which trials to stop.
        multi_objective: Takes several directions.
        max_parallel: How many suggestions may be open at a time; None for any number.
        replay: Accepts results of trials that it did not suggest (resume, enqueue).
        seeding: The same seed gives the same suggestions.
        exhaustible: Ends by itself, with ``EXHAUSTED``, when a finite space has been tried.
        owns_loop: Runs the trials itself, in ``hpsearch_run``.
        checkpoints: Continues trials from checkpoints, a trial's own or another's
            (population-based training), so a trial has to hand one in with each report.
        dialect: The dialect whose own distributions (``Native``) it searches, None for none.
    """

    log: bool = False
    step: bool = False
    conditions: bool = False
    define_by_run: bool = False
    pruning: bool = False
    multi_objective: bool = False
    max_parallel: int | None = 1
    replay: bool = False
    seeding: bool = False
    exhaustible: bool = False
    owns_loop: bool = False
    checkpoints: bool = False
    dialect: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the capabilities by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
