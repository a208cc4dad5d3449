"""Timing in interleaved pairs, and the rows of the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was measured.
        ours: Our figure, with its unit.
        theirs: The figure held against it.
        ratio: Ours over theirs (or the difference, with its unit).
        target: What the design asks for.
        met: Whether it was met.
    """

    what: str
    ours: str
    theirs: str
    ratio: str
    target: str
    met: bool

    def __str__(self) -> str:
        verdict = "yes" if self.met else "**no**"
        cells = (self.what, self.ours, self.theirs, self.ratio, self.target, verdict)
        return f"| {' | '.join(cells)} |"


HEADER = "| what | hpsearch | beside it | ratio | target | met |\n|---|---:|---:|---:|---:|:---:|"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Times of two functions, run in turn.

    Attributes:
        ours: Seconds of each run of the first.
        theirs: Seconds of each run of the second, pair by pair.
    """

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """The median over the pairs of ours / theirs."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def difference(self) -> float:
        """The median over the pairs of ours - theirs, in seconds."""
        return statistics.median(a - b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def medians(self) -> tuple[float, float]:
        """The median of each side, in seconds."""
        return statistics.median(self.ours), statistics.median(self.theirs)


def in_pairs(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    pairs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Pairs:
    """Time two functions in turn, after one run of each that is not counted.

    The order within a pair alternates, so that a drift of the machine hits both alike. What only
    computes in this process can be timed with ``time.process_time``, which no other process hits.
    """
    ours()
    theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            times[side].append(seconds((ours, theirs)[side], clock))
    return Pairs(*times)


def seconds(
    function: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return how long one call takes."""
    start = clock()
    function()
    return clock() - start
