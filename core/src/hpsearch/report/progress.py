"""A progress bar: trials of the total, the best value so far, how many were pruned or failed.

The bar is tqdm's, which goes well with the Trainer's own bars, in terminals and notebooks.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.report.text import shown
from hpsearch.study.best import Costs, costs_of, front
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord

if TYPE_CHECKING:
    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")

_SHARE = 0.05
"""The most of the time that goes into counting the Pareto front."""


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
        self._directions: tuple[str, ...] = ()
        # The costs of the best trial or of the front, and those that no front was made of yet.
        self._points: list[Costs] = []
        self._on_front = 0
        self._next_front = 0.0

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        from tqdm.auto import tqdm

        self._directions = study.directions
        for trial in study.trials:
            self._count(trial)
        self._bar = tqdm(
            desc=shown(study.name),
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
            self._next_front = 0.0
            self._bar.set_postfix_str(self._summary(), refresh=False)
            self._bar.close()

    def _count(self, trial: TrialRecord) -> None:
        self._counts[trial.state] += 1
        costs = costs_of(trial, self._directions)
        if costs is None:
            return
        if len(costs) > 1:
            self._points.append(costs)
        else:
            self._points = [min([*self._points, costs])]

    def _summary(self) -> str:
        parts = [
            f"{state}={self._counts[state]}"
            for state in (TrialState.PRUNED, TrialState.FAILED)
            if self._counts[state]
        ]
        if len(self._directions) > 1:
            parts.insert(0, f"front={self._size_of_front()}")
        elif self._points:
            ((cost,),) = self._points
            best = -cost if self._directions[0] == "maximize" else cost
            parts.insert(0, f"best={shown(best, digits=6)}")
        return ", ".join(parts)

    def _size_of_front(self) -> int:
        """Return how many trials are on the front, as counted a moment ago where it is large."""
        now = time.perf_counter()
        if now >= self._next_front:
            self._points = [self._points[index] for index in front(self._points)]
            self._on_front = len(self._points)
            self._next_front = now + (time.perf_counter() - now) / _SHARE
        return self._on_front

    def _make_room(self, record: logging.LogRecord) -> bool:
        """Clear the bar's line before a log record is written; the bar is drawn again later."""
        self._bar.clear()
        return True
