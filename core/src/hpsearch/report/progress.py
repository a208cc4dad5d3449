"""A progress bar: trials of the total, the best value so far, how many were pruned or failed.

The bar is tqdm's, which stands well beside the Trainer's own bars, in terminals and notebooks.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.report.text import shown
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord

if TYPE_CHECKING:
    from hpsearch.study.study import Study


logger = logging.getLogger("hpsearch")


def wanted() -> bool:
    """Whether somebody is looking: standard error is a terminal, or this is a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:
        return True
    return sys.stderr is not None and sys.stderr.isatty()


class ProgressBar:
    """An observer that shows the search as a bar; trials of earlier runs count."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._counts: Counter[TrialState] = Counter()
        self._front: Counter[tuple[float, ...]] = Counter()
        self._signs: tuple[float, ...] = ()

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        from tqdm.auto import tqdm

        self._signs = tuple(1.0 if way == "minimize" else -1.0 for way in study.directions)
        for trial in study.trials:
            self._count(trial)
        self._bar = tqdm(
            desc=study.name,
            total=study.n_trials,
            initial=sum(trial.retry_of is None for trial in study.trials),
            unit="trial",
            miniters=1,
            dynamic_ncols=True,
        )
        self._bar.set_postfix_str(self._summary())
        logger.addFilter(self._make_room)

    @hookimpl
    def hpsearch_start(self, trial: TrialRecord) -> None:
        if trial.retry_of is not None:
            self._bar.update(-1)  # the failed trial that runs again no longer counts

    @hookimpl
    def hpsearch_tell(self, trial: TrialRecord) -> None:
        self._count(trial)
        self._bar.set_postfix_str(self._summary(), refresh=False)
        self._bar.update(1)

    @hookimpl
    def hpsearch_close(self) -> None:
        logger.removeFilter(self._make_room)
        if self._bar is not None:
            self._bar.close()

    def _count(self, trial: TrialRecord) -> None:
        self._counts[trial.state] += 1
        if trial.objectives is None:
            return
        point = tuple(s * value for s, value in zip(self._signs, trial.objectives, strict=True))
        if point not in self._front:
            if any(_covers(other, point) for other in self._front):
                return
            for other in [other for other in self._front if _covers(point, other)]:
                del self._front[other]
        self._front[point] += 1

    def _summary(self) -> str:
        parts = [
            f"{state}={self._counts[state]}"
            for state in (TrialState.PRUNED, TrialState.FAILED)
            if self._counts[state]
        ]
        if len(self._signs) > 1:
            parts.insert(0, f"front={self._front.total()}")
        elif self._front:
            (point,) = self._front
            parts.insert(0, f"best={shown(self._signs[0] * point[0], digits=6)}")
        return ", ".join(parts)

    def _make_room(self, record: logging.LogRecord) -> bool:
        """Clear the bar's line before a log record is written; the bar is drawn again later."""
        self._bar.clear()
        return True


def _covers(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))
