"""The median stopping rule."""

from __future__ import annotations

import bisect
import math
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from hpsearch.pruners.pruner import Pruner
from hpsearch.pruners.ranked import Ranked
from hpsearch.study.outcome import TrialState
from hpsearch.validators import check_options, flag, whole

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord


@dataclass(eq=False)
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

    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1
    _: KW_ONLY
    by_report: bool = False

    def __post_init__(self) -> None:
        label = f"{type(self).__name__}: "
        check_options(self, whole, "n_startup_trials", "n_warmup_steps", least=0, label=label)
        check_options(self, whole, "interval_steps", "n_min_trials", least=1, label=label)
        check_options(self, flag, "by_report", label=label)

    def start(self) -> None:
        self._complete = 0
        # The intervals that complete trials reported in, and for each the running averages of all
        # complete trials as of then.
        self._intervals: list[int] = []
        self._averages: list[Ranked] = []
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
            self._averages.insert(index, self._averages[index - 1].copy() if index else Ranked())
