"""The pruners that have a name."""

from __future__ import annotations

from hpsearch.errors import ArgumentError, listed, nearest
from hpsearch.pruners.halving import SuccessiveHalvingPruner
from hpsearch.pruners.median import MedianPruner
from hpsearch.pruners.pruner import Pruner

PRUNERS: dict[str, type[MedianPruner] | type[SuccessiveHalvingPruner]] = {
    "median": MedianPruner,
    "asha": SuccessiveHalvingPruner,
}
"""The pruners that ``pruner=`` takes by name, with their defaults."""


def make_pruner(pruner: str | Pruner) -> Pruner:
    """Return the pruner of that name, or the one given.

    Raises:
        ArgumentError: No pruner has that name.
    """
    if isinstance(pruner, Pruner):
        return pruner
    if pruner not in PRUNERS:
        raise ArgumentError(
            f"pruner {pruner!r} is unknown.{nearest(pruner, PRUNERS)} Known: {listed(PRUNERS)}"
        )
    return PRUNERS[pruner]()
