"""Pruners: stop the trials whose intermediate results say that the rest is not worth its time.

They are the core's own and work with every ask/tell backend. ``docs/pruners.md`` shows how to
choose one and how to write one.
"""

from __future__ import annotations

import bisect
import heapq
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from hpsearch.errors import ArgumentError, listed, nearest
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.study.outcome import TrialState

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


class Pruner(ABC):
    """The base of pruners: a subclass decides in :meth:`should_prune`.

    It may also learn from trials that ended, in :meth:`learn`, which a resumed search calls for
    those of earlier runs too. What it gathers belongs in :meth:`start`, so that one pruner can
    serve one search after another. Everything is compared as a *cost*: the reported value, with
    its sign turned where the study maximizes. Lower is better, and NaN is no value.

    Attributes:
        by_report: Count a trial's reports, from 1, where the steps of two trials do not compare: a
            Trainer reports at global steps, and an epoch has more of them in smaller batches.
    """

    by_report: bool = False

    def start(self) -> None:  # noqa: B027 - a pruner may have nothing to forget
        """Forget everything. Called when a search opens."""

    @abstractmethod
    def should_prune(self, trial: TrialRecord, step: int, cost: float) -> bool:
        """Return whether to stop the trial, which has just reported a cost at a step."""

    def learn(self, trial: TrialRecord) -> None:  # noqa: B027 - nor anything to learn
        """Take note of a trial that ended: complete, pruned or failed."""

    def costs(self, trial: TrialRecord) -> list[tuple[int, float]]:
        """Return what a trial reported: step (or the count of reports) and cost, in order."""
        reported = sorted(trial.intermediate.items())
        return [
            (count if self.by_report else step, self._sign * values[0])
            for count, (step, values) in enumerate(reported, start=1)
        ]

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        self._sign = 1.0 if study.directions[0] == "minimize" else -1.0
        self.start()

    @hookimpl
    def hpsearch_report(self, trial: TrialRecord, step: int, values: tuple[float, ...]) -> bool:
        count = len(trial.intermediate)
        return self.should_prune(trial, count if self.by_report else step, self._sign * values[0])

    @hookimpl
    def hpsearch_tell(self, trial: TrialRecord) -> None:
        self.learn(trial)


class MedianPruner(Pruner):
    """Stops a trial whose best result so far is worse than the median of complete trials.

    The median stopping rule of Google Vizier (Golovin et al., "Google Vizier: A Service for
    Black-Box Optimization", KDD 2017, section 3.2.2): at step ``s``, a trial is stopped if its best
    value by ``s`` is strictly worse than the median, over the complete trials, of their values
    averaged up to ``s``. A complete trial counts from its first report on, at whichever steps it
    reported. NaN counts as not reported.

    Args:
        n_startup_trials: No trial is stopped before this many are complete.
        n_warmup_steps: No trial is stopped at a step below this one.
        interval_steps: Trials are compared once in so many steps, counted from
            ``n_warmup_steps``: at the first report in each such interval. Where trials report at
            steps of their own, an interval of about one report each keeps memory small.
        n_min_trials: No trial is stopped at a step that fewer complete trials had reported by.
        by_report: Read "report" for "step" above: the first, the second, and so on.

    Raises:
        ArgumentError: An option has a value that it cannot have.
    """

    def __init__(
        self,
        n_startup_trials: int = 5,
        n_warmup_steps: int = 0,
        interval_steps: int = 1,
        n_min_trials: int = 1,
        *,
        by_report: bool = False,
    ) -> None:
        self.n_startup_trials = _whole(self, "n_startup_trials", n_startup_trials, 0)
        self.n_warmup_steps = _whole(self, "n_warmup_steps", n_warmup_steps, 0)
        self.interval_steps = _whole(self, "interval_steps", interval_steps, 1)
        self.n_min_trials = _whole(self, "n_min_trials", n_min_trials, 1)
        self.by_report = _flag(self, "by_report", by_report)

    def start(self) -> None:
        self._complete = 0
        # The intervals that complete trials reported in, and for each the running averages of all
        # complete trials as of then.
        self._intervals: list[int] = []
        self._averages: list[_Ranked] = []
        # For each running trial, its best cost and the last interval in which it was compared.
        self._running: dict[int, tuple[float, int]] = {}

    def should_prune(self, trial: TrialRecord, step: int, cost: float) -> bool:
        best, last = self._running.get(trial.number, (math.inf, -1))
        best = min(best, cost)  # in this order NaN never is the best
        interval = self._interval(step)
        self._running[trial.number] = (best, max(interval, last))
        if interval <= last or self._complete < self.n_startup_trials:
            return False
        known = bisect.bisect_right(self._intervals, interval)
        if not known or len(self._averages[known - 1]) < self.n_min_trials:
            return False
        return best > self._averages[known - 1].median()

    def learn(self, trial: TrialRecord) -> None:
        self._running.pop(trial.number, None)
        if trial.state is not TrialState.COMPLETE:
            return
        self._complete += 1
        averages = self._running_averages(trial)
        for interval in averages:
            self._know(interval)
        average: float | None = None
        for interval, others in zip(self._intervals, self._averages, strict=True):
            average = averages.get(interval, average)
            if average is not None:
                others.add(average, lowest=len(others) // 2 + 1)

    def _interval(self, step: int) -> int:
        return (step - self.n_warmup_steps) // self.interval_steps

    def _running_averages(self, trial: TrialRecord) -> dict[int, float]:
        """Return the average of the costs so far, as of the first report in each interval."""
        averages: dict[int, float] = {}
        total = count = 0.0
        for step, cost in self.costs(trial):
            if math.isnan(cost):
                continue
            total += cost
            count += 1
            interval = self._interval(step)
            if interval >= 0 and interval not in averages:
                # Infinities of both signs have no average: the worst, so that it is comparable.
                averages[interval] = math.inf if math.isnan(total) else total / count
        return averages

    def _know(self, interval: int) -> None:
        index = bisect.bisect_left(self._intervals, interval)
        if index == len(self._intervals) or self._intervals[index] != interval:
            self._intervals.insert(index, interval)
            self._averages.insert(index, self._averages[index - 1].copy() if index else _Ranked())


class SuccessiveHalvingPruner(Pruner):
    """Lets only the best ``1 / reduction_factor`` of trials go on at each rung: ASHA.

    Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter
    Tuning", MLSys 2020, algorithm 2), in the variant that stops: the paper pauses a trial at a rung
    and may promote it later; here a trial is judged once, when it reaches the rung, against all
    that reached it before. It goes on if it is among the best ``n // reduction_factor`` of ``n``,
    itself included, or the very best. Rung ``k`` lies at step ``min_resource * reduction_factor **
    (k + min_early_stopping_rate)``; a trial that does not report at that very step is judged by
    its first report beyond it. NaN never goes on.

    Args:
        min_resource: The step of the first rung (``r`` in the paper), at least 1.
        reduction_factor: ``eta`` in the paper, at least 2.
        min_early_stopping_rate: How many rungs to leave out (``s`` in the paper, the bracket).
        by_report: Read "report" for "step" above: the first, the second, and so on.

    Raises:
        ArgumentError: An option has a value that it cannot have.
    """

    def __init__(
        self,
        min_resource: int = 1,
        reduction_factor: int = 4,
        min_early_stopping_rate: int = 0,
        *,
        by_report: bool = False,
    ) -> None:
        self.min_resource = _whole(self, "min_resource", min_resource, 1)
        self.reduction_factor = _whole(self, "reduction_factor", reduction_factor, 2)
        self.min_early_stopping_rate = _whole(
            self, "min_early_stopping_rate", min_early_stopping_rate, 0
        )
        self.by_report = _flag(self, "by_report", by_report)

    def start(self) -> None:
        self._rungs: list[_Ranked] = []
        # For each running trial, how many rungs it has reached.
        self._reached: dict[int, int] = {}

    def should_prune(self, trial: TrialRecord, step: int, cost: float) -> bool:
        reached = self._reached.get(trial.number, 0)
        goes_on = True
        while step >= self._step_of(reached):
            if reached == len(self._rungs):
                self._rungs.append(_Ranked())
            rung = self._rungs[reached]
            lowest = max(1, (len(rung) + 1) // self.reduction_factor)
            rung.add(math.inf if math.isnan(cost) else cost, lowest)
            goes_on = goes_on and cost <= rung.bound()
            reached += 1
        self._reached[trial.number] = reached
        return not goes_on

    def learn(self, trial: TrialRecord) -> None:
        if trial.number not in self._reached:
            # A trial of an earlier run: what it reported there counts as if it were reported now.
            for step, cost in self.costs(trial):
                self.should_prune(trial, step, cost)
        self._reached.pop(trial.number, None)

    def _step_of(self, rung: int) -> int:
        step: int = self.min_resource * self.reduction_factor ** (
            rung + self.min_early_stopping_rate
        )
        return step


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


class _Ranked:
    """Numbers split into the lowest few and the rest; adding one costs O(log n)."""

    __slots__ = ("_lowest", "_rest")

    def __init__(self) -> None:
        self._lowest: list[float] = []  # a heap of the negated numbers: the highest comes first
        self._rest: list[float] = []

    def __len__(self) -> int:
        return len(self._lowest) + len(self._rest)

    def add(self, number: float, lowest: int) -> None:
        """Add a number; ``lowest`` is how many are the lowest from now on, at most one more."""
        heapq.heappush(self._rest, -heapq.heappushpop(self._lowest, -number))
        if len(self._lowest) < lowest:
            heapq.heappush(self._lowest, -heapq.heappop(self._rest))

    def bound(self) -> float:
        """Return the highest of the lowest numbers."""
        return -self._lowest[0]

    def median(self) -> float:
        """Return the median, where half of the numbers, rounded up, are the lowest."""
        if len(self._lowest) > len(self._rest):
            return -self._lowest[0]
        return (self._rest[0] - self._lowest[0]) / 2

    def copy(self) -> _Ranked:
        """Return an independent copy."""
        other = _Ranked()
        other._lowest, other._rest = self._lowest.copy(), self._rest.copy()
        return other


def _whole(pruner: Pruner, option: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(
            f"{type(pruner).__name__}: {option} is {value!r}, expected a whole number of at least "
            f"{least}"
        )
    return value


def _flag(pruner: Pruner, option: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ArgumentError(
            f"{type(pruner).__name__}: {option} is {value!r}, expected True or False"
        )
    return value
