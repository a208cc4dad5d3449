"""A warning where the objective stays the same, whatever the parameters are."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hpsearch.errors import listed
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.study.outcome import TrialState

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")


class ConstantObjective:
    """An observer that warns once, as soon as two trials differ and their objectives do not.

    It says nothing where any two complete trials have different objectives, and nothing of trials
    that an earlier run of the study compared.
    """

    def __init__(self) -> None:
        self._first: TrialRecord | None = None
        self._settled = False

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        for trial in study.trials:
            self._without_effect(trial)

    @hookimpl
    def hpsearch_tell(self, trial: TrialRecord) -> None:
        names = self._without_effect(trial)
        if names and self._first is not None:
            logger.warning(
                "trials %d and %d have the same objective, %s, and differ in %s: does the "
                "objective depend on what is searched?",
                *(self._first.number, trial.number),
                *(", ".join(map(repr, trial.objectives or ())), listed(names)),
            )

    def _without_effect(self, trial: TrialRecord) -> list[str]:
        """Return which parameters another trial changed, where they have changed no objective."""
        if self._settled or trial.state is not TrialState.COMPLETE:
            return []
        if self._first is None:
            self._first = trial
        one, other = self._first.params, trial.params
        differ = (n for n in one.keys() & other.keys() if one[n] != other[n])
        names = sorted({*differ, *(one.keys() ^ other.keys())})
        self._settled = bool(names) or trial.objectives != self._first.objectives
        return names if trial.objectives == self._first.objectives else []
