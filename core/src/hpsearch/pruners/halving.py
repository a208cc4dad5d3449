"""Successive halving."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from hpsearch.pruners.pruner import Pruner
from hpsearch.pruners.ranked import Ranked
from hpsearch.validators import check_options, flag, whole

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord


@dataclass(eq=False)
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

    min_resource: int = 1
    reduction_factor: int = 4
    min_early_stopping_rate: int = 0
    _: KW_ONLY
    by_report: bool = False

    def __post_init__(self) -> None:
        label = f"{type(self).__name__}: "
        check_options(self, whole, "min_resource", least=1, label=label)
        check_options(self, whole, "reduction_factor", least=2, label=label)
        check_options(self, whole, "min_early_stopping_rate", least=0, label=label)
        check_options(self, flag, "by_report", label=label)

    def start(self) -> None:
        self._rungs: list[Ranked] = []
        # For each running trial, how many rungs it has reached.
        self._reached: dict[int, int] = {}

    def should_prune(self, trial: TrialRecord, step: int, cost: float) -> bool:
        reached = self._reached.get(trial.number, 0)
        goes_on = True
        while step >= self._step_of(reached):
            if reached == len(self._rungs):
                self._rungs.append(Ranked())
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
        power: int = self.reduction_factor ** (rung + self.min_early_stopping_rate)
        return self.min_resource * power
