"""What the kit sees of a search: an observer that writes down every hook call about a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


class Recorder:
    """Counts what happens to trials, wherever they run.

    Attributes:
        started: Numbers of the trials, in the order in which they started.
        told: Numbers of the trials, in the order in which they were told.
        reported: TrialRecord number and step of each report.
        most_open: The most trials that were started and not yet told.
    """

    def __init__(self) -> None:
        self.started: list[int] = []
        self.told: list[int] = []
        self.reported: list[tuple[int, int]] = []
        self.most_open = 0

    @hookimpl
    def hpsearch_start(self, study: Study, trial: TrialRecord) -> None:
        self.started.append(trial.number)
        self.most_open = max(self.most_open, len(self.started) - len(self.told))

    @hookimpl
    def hpsearch_report(self, study: Study, trial: TrialRecord, step: int) -> None:
        self.reported.append((trial.number, step))

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        self.told.append(trial.number)
