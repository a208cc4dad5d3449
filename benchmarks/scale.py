"""What a trial costs as the history grows, with the random backend, journal off and on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import hpsearch
from benchmarks.loop import objective
from benchmarks.measure import Row, seconds

SIZES = (100, 1_000, 10_000, 100_000)


def rows() -> Iterator[Row]:
    """Yield the rows of this benchmark."""
    for journal in (False, True):
        costs = {size: cost(size, journal=journal) for size in SIZES}
        # A search of a hundred trials is mostly its own start, so flatness is read from 1,000 on.
        first = costs[1_000]
        for size in SIZES:
            ratio = costs[size] / first
            yield Row(
                f"random, {size:,} trials, journal {'on' if journal else 'off'}",
                f"{costs[size]:.1f} µs a trial",
                f"{first:.1f} µs at 1,000",
                f"{ratio:.2f}",
                "flat (1.25)" if size > 1_000 else "none",
                size <= 1_000 or ratio <= 1.25,
            )


def cost(size: int, *, journal: bool) -> float:
    """Return microseconds a trial of a search of that size."""
    with tempfile.TemporaryDirectory() as folder:
        storage = Path(folder) / "study.db" if journal else None
        return (
            seconds(
                lambda: hpsearch.search(
                    objective,
                    {"x": hpsearch.Float(-10, 10)},
                    backend="random",
                    n_trials=size,
                    seed=1,
                    storage=storage,
                    progress=False,
                )
            )
            / size
            * 1e6
        )
