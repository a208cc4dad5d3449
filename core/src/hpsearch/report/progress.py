"""How a search goes: a bar where somebody looks, one line for each trial elsewhere, a summary.

The bar is tqdm's, which goes well with the Trainer's own bars, in terminals and notebooks. It shows
trials of the total, the best value so far, and how many were pruned or failed.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.report.text import duration, shown
from hpsearch.study.best import Costs, costs_of, front
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord

if TYPE_CHECKING:
    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")

_SHARE = 0.05
"""The most of the time that goes into counting the Pareto front."""

_MOST_SHOWN = 5
"""The most trials of a Pareto front that a summary lists."""


def wanted() -> bool:
    """Whether somebody is looking: standard error is a terminal, or this is a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is not None:
        return True
    return sys.stderr is not None and sys.stderr.isatty()


class _Progress:
    """Counts the trials of a study, those of earlier runs too, and sums it up at the end."""

    def __init__(self) -> None:
        self._counts: Counter[TrialState] = Counter()
        self._directions: tuple[str, ...] = ()
        self._seen = 0
        self._begun = time.monotonic()
        # The costs of the best trial or of the front, and those that no front was made of yet.
        self._points: list[Costs] = []
        self._on_front = 0
        self._next_front = 0.0
        self._ruled_out = False

    @hookimpl
    def hpsearch_amend(self, trial: TrialRecord) -> None:
        # A resumed study may have constraints that it had not when its trials were counted.
        self._ruled_out |= not trial.feasible

    def _open(self, study: Study) -> None:
        self._directions = study.directions
        for trial in study.trials:
            self._count(trial)
        self._seen = 0

    def _closing(self, study: Study) -> Iterator[str]:
        """Yield the lines that sum a search up; none where no trial ended."""
        if not self._seen:
            return
        took = duration(time.monotonic() - self._begun)
        counts = ", ".join(f"{self._counts[s]} {s}" for s in TrialState if self._counts[s])
        yield f"study {shown(study.name)!r}: {took}, trials: {counts}"
        best = study.best_trials()
        if len(self._directions) > 1 and best:
            yield f"{len(best)} trials on the Pareto front"
        for trial in best[:_MOST_SHOWN]:
            params = ", ".join(f"{shown(n)}={shown(v)}" for n, v in trial.params.items())
            of = "" if len(self._directions) > 1 else "best "
            yield f"{of}trial {trial.number}, {_objectives(trial)}: {params or 'no parameters'}"

    def _count(self, trial: TrialRecord) -> None:
        self._seen += 1
        self._counts[trial.state] += 1
        self._compare(trial)

    def _compare(self, trial: TrialRecord) -> None:
        costs = costs_of(trial, self._directions)
        if costs is None:
            return
        if len(costs) > 1:
            self._points.append(costs)
        else:
            self._points = [min([*self._points, costs])]

    def _compare_again(self, study: Study) -> None:
        """Find the best again where a trial that was counted has been ruled out since."""
        if self._ruled_out:
            self._ruled_out = False
            self._points = []
            for trial in study.trials:
                self._compare(trial)

    def _summary(self) -> str:
        parts = [
            f"{state}={self._counts[state]}"
            for state in (TrialState.PRUNED, TrialState.FAILED)
            if self._counts[state]
        ]
        return ", ".join([*filter(None, [self._best()]), *parts])

    def _best(self) -> str:
        if len(self._directions) > 1:
            return f"front={self._size_of_front()}"
        if not self._points:
            return ""
        ((cost,),) = self._points
        best = -cost if self._directions[0] == "maximize" else cost
        return f"best={shown(best, digits=6)}"

    def _size_of_front(self) -> int:
        """Return how many trials are on the front, as counted a moment ago where it is large."""
        now = time.perf_counter()
        if now >= self._next_front:
            self._points = [self._points[index] for index in front(self._points)]
            self._on_front = len(self._points)
            self._next_front = now + (time.perf_counter() - now) / _SHARE
        return self._on_front


class ProgressBar(_Progress):
    """An observer that shows the search as a bar; trials of earlier runs count."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        from tqdm.auto import tqdm

        self._open(study)
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
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        self._count(trial)
        self._compare_again(study)
        self._bar.set_postfix_str(self._summary(), refresh=False)
        self._bar.update(1)

    @hookimpl
    def hpsearch_close(self, study: Study) -> None:
        logger.removeFilter(self._make_room)
        if self._bar is not None:
            self._next_front = 0.0
            self._compare_again(study)
            self._bar.set_postfix_str(self._summary(), refresh=False)
            self._bar.close()
            for line in self._closing(study):
                _write(line)

    def _make_room(self, record: logging.LogRecord) -> bool:
        """Clear the bar's line before a log record is written; the bar is drawn again later."""
        self._bar.clear()
        return True


class ProgressLines(_Progress):
    """An observer that says one line for each trial that ends.

    Lines go to the log ``hpsearch`` at level INFO where logging is set up, else to standard error.
    """

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        self._open(study)

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        self._count(trial)
        self._compare_again(study)
        if logger.hasHandlers() and not logger.isEnabledFor(logging.INFO):
            return
        total = "" if study.n_trials is None else f" of {study.n_trials}"
        parts = [
            f"trial {trial.number}{total} {trial.state}",
            _objectives(trial) if trial.objectives else "",
            # A front is counted only now and then, and a line stays as it is.
            self._best() if len(self._directions) == 1 else "",
            "" if trial.duration is None else duration(trial.duration),
        ]
        _say(", ".join(filter(None, parts)))

    @hookimpl
    def hpsearch_close(self, study: Study) -> None:
        for line in self._closing(study):
            _say(line)


def _say(line: str) -> None:
    if logger.hasHandlers():
        logger.info("%s", line)
    else:
        _write(line)


def _write(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _objectives(trial: TrialRecord) -> str:
    return " and ".join(shown(value, digits=6) for value in trial.objectives or ())
