"""The base of pruners. ``docs/pruners.md`` shows how to write one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from hpsearch.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


class Pruner(ABC):
    """The base of pruners: a subclass decides in :meth:`should_prune`.

    It may also learn from trials that ended, in :meth:`learn`, which a resumed search calls for
    those of earlier runs too. What it gathers belongs in :meth:`start`, so that one pruner can
    serve one search after another. Everything is compared as a *cost*: the reported value, with
    its sign turned where the study maximizes. Lower is better, and NaN is not a value.

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
