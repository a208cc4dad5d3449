"""How long ``import hpsearch`` takes, beside pluggy and optuna, each in a fresh interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure import Row

RUNS = 15
PROGRAM = "import time; s = time.perf_counter(); import {}; print(time.perf_counter() - s)"


def rows() -> Iterator[Row]:
    """Yield the rows of this benchmark."""
    times: dict[str, list[float]] = {"hpsearch": [], "pluggy": [], "optuna": []}
    for _ in range(RUNS):
        for module, seen in times.items():
            command = [sys.executable, "-c", PROGRAM.format(module)]
            seen.append(float(subprocess.run(command, capture_output=True, check=True).stdout))
    medians = {module: statistics.median(seen) * 1e3 for module, seen in times.items()}
    ours = medians["hpsearch"]
    for other, target, met in (
        ("pluggy", "+5 ms", ours <= medians["pluggy"] + 5),
        ("optuna", "less", ours < medians["optuna"]),
    ):
        yield Row(
            f"`import hpsearch` beside `import {other}`",
            f"{ours:.1f} ms",
            f"{medians[other]:.1f} ms",
            f"{ours / medians[other]:.2f}",
            target,
            met,
        )
