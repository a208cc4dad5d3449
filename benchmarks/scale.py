"""What a trial costs as the history grows, and what it takes to look at a long one.

Trials are those of the random backend. What looks at a study runs in an interpreter of its own,
whose processor time and peak memory are taken, imports included.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import hpsearch
from benchmarks.loop import objective
from benchmarks.measure import Row, seconds
from hpsearch.study.best import front

SIZES = (100, 1_000, 10_000, 100_000)
MANY_TRIALS, MANY_PARAMETERS, FRONT = 100_000, 1_000, 10_000

LOOKS = {
    "load": "import hpsearch; hpsearch.load(sys.argv[1])",
    "show": "from hpsearch.cli import main; main(['show', sys.argv[1]], standalone_mode=False)",
    "show --all": (
        "from hpsearch.cli import main; main(['show', '--all', sys.argv[1]], standalone_mode=False)"
    ),
    "report": (
        "import hpsearch; from hpsearch import report; "
        "report.write(hpsearch.load(sys.argv[1]), sys.argv[2])"
    ),
}
FRAME = """
import json, re, sys, time
{}
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
print(json.dumps([time.process_time(), peak]), file=sys.stderr)
"""


def rows() -> Iterator[Row]:
    """Yield the rows of this benchmark."""
    yield from growth()
    with tempfile.TemporaryDirectory() as folder:
        yield from looks(Path(folder))
    yield from fronts()


def growth() -> Iterator[Row]:
    """Yield what a trial costs in searches of more and more trials."""
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


def looks(folder: Path) -> Iterator[Row]:
    """Yield what it takes to look at many trials, and at many parameters."""
    long, wide, page = folder / "long.db", folder / "wide.db", folder / "page.html"
    parameters = {f"x{index}": hpsearch.Float(-10, 10) for index in range(MANY_PARAMETERS)}
    search(long, dict(list(parameters.items())[:5]), MANY_TRIALS)
    search(wide, parameters, 200)
    trials = f"{MANY_TRIALS:,} trials"
    for what, journal, size, limit, most_memory in (
        ("load", long, trials, 2, 150),
        ("show", long, trials, 3, math.inf),
        ("show --all", long, trials, math.inf, math.inf),
        ("report", long, trials, 15, math.inf),
        ("report", wide, f"{MANY_PARAMETERS:,} parameters", 15, math.inf),
    ):
        used, memory = look(LOOKS[what], journal, page)
        takes = f"{used:.1f} s, {memory:.0f} MB"
        limits = [
            f"{number:g} {unit}"
            for number, unit in ((limit, "s"), (most_memory, "MB"))
            if number < math.inf
        ]
        met = used < limit and memory < most_memory
        if what == "report":
            written = page.stat().st_size / 1e6
            takes += f", page of {written:.1f} MB"
            limits.append("page of 30 MB")
            met = met and written < 30
        target = ", ".join(limits)
        ratio = f"{used / limit:.2f}" if limit < math.inf else ""
        yield Row(f"`{what}`, {size}", takes, target, ratio, target or "none", met)


def fronts() -> Iterator[Row]:
    """Yield what it takes to find a front that is all of many points."""
    for width in (2, 3, 4):
        points = sphere(width, FRONT)
        taken = seconds(partial(front, points), time.process_time)
        yield Row(
            f"a Pareto front of {FRONT:,} points, {width} objectives",
            f"{taken:.2f} s",
            "1 s",
            f"{taken:.2f}",
            "1 s",
            taken < 1,
        )


def cost(size: int, *, journal: bool) -> float:
    """Return microseconds a trial of a search of that size."""
    with tempfile.TemporaryDirectory() as folder:
        storage = Path(folder) / "study.db" if journal else None
        space = {"x": hpsearch.Float(-10, 10)}
        return seconds(lambda: search(storage, space, size)) / size * 1e6


def search(storage: Path | None, space: dict[str, hpsearch.Float], n_trials: int) -> hpsearch.Study:
    """Run a random search."""
    return hpsearch.search(
        objective if "x" in space else total,
        space,
        backend="random",
        n_trials=n_trials,
        seed=1,
        storage=storage,
        progress=False,
    )


def total(trial: hpsearch.Trial) -> float:
    """Return the sum of all parameters."""
    return math.fsum(trial.values())


def look(program: str, *arguments: Path) -> tuple[float, float]:
    """Run a program in a fresh interpreter; return its processor time (s) and peak memory (MB)."""
    command = [sys.executable, "-c", FRAME.format(program), *map(str, arguments)]
    result = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True
    )
    used, memory = json.loads(result.stderr.splitlines()[-1])
    return used, memory


def sphere(width: int, count: int) -> list[tuple[float, ...]]:
    """Return points of which none dominates another."""
    rng = random.Random(0)
    points = []
    for _ in range(count):
        values = [rng.random() for _ in range(width)]
        length = math.hypot(*values)
        points.append(tuple(-value / length for value in values))
    return points
