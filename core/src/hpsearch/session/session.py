"""Running a search that has been checked: open the plugins, run the trials, close the plugins."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hpsearch.errors import (
    ArgumentError,
    BackendError,
    CapabilityError,
    SearchFailedError,
    SearchInterrupted,
)
from hpsearch.study.study import BestRun

if TYPE_CHECKING:
    from typing import Any

    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.plugins.hooks import Hooks, Member
    from hpsearch.plugins.registry import Plugin
    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")


def run(
    study: Study,
    hooks: Hooks,
    plugin: Plugin,
    evaluate: Evaluate,
    enqueue: Sequence[Mapping[str, Any]],
) -> None:
    """Run the search to its end; the study then has its trials and its best runs.

    Raises:
        SearchFailedError: The failure policy ended it.
        SearchInterrupted: Ctrl-C did.
        HpsearchError: A plugin refused the search or broke its contract.
    """
    history = study.history
    _enqueue(study, enqueue)
    with _opened(study, hooks):
        if (study.trials or history.waiting) and not study.capabilities.replay:
            raise CapabilityError(
                f"{plugin} accepts no trials that it did not suggest (capability 'replay'), so "
                "resume= and enqueue= do not work with it"
            )
        history.replay()
        prepare: Callable[[Study], None] | None = getattr(evaluate.objective, "prepare", None)
        if prepare is not None:
            prepare(study)
        logger.info("study %r: %s, %s", study.name, plugin, "/".join(study.directions))
        try:
            hooks.first("hpsearch_run", study=study, evaluate=evaluate)
            history.raise_broken()
        except BaseException as error:
            history.interrupt(error)
            if isinstance(error, KeyboardInterrupt):
                raise SearchInterrupted(_interrupted(study), study) from error
            raise
        if history.failure is not None:
            raise SearchFailedError(history.failure, study) from history.failure_cause
        study._best = _best(study, hooks, plugin)


@contextlib.contextmanager
def _opened(study: Study, hooks: Hooks) -> Iterator[None]:
    """Open every plugin in order; close those that were opened, last first, whatever happens."""
    opened: list[Member] = []
    failure: BaseException | None = None
    try:
        for member in hooks.members():
            opened.append(member)
            hooks.call_one(member, "hpsearch_open", study=study)
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        _close(study, hooks, opened, failure)


def _close(study: Study, hooks: Hooks, opened: list[Member], failure: BaseException | None) -> None:
    problems: list[Exception] = []
    for member in reversed(opened):
        try:
            hooks.call_one(member, "hpsearch_close", study=study, error=failure)
        except Exception as error:  # noqa: BLE001 - the others still close; it is raised below
            problems.append(error)
    hooks.release()
    study._history = None
    for problem in problems:
        if failure is None:
            raise problem
        # What ended the search outranks what closing it met.
        logger.error("while closing after an error: %s", problem)


def _enqueue(study: Study, enqueue: Sequence[Mapping[str, Any]]) -> None:
    if study.n_trials is not None and len(enqueue) > study.n_trials:
        raise ArgumentError(
            f"{len(enqueue)} trials are enqueued and n_trials is {study.n_trials}; raise n_trials"
        )
    for params in enqueue:
        study.history.enqueue(params)


def _best(study: Study, hooks: Hooks, plugin: Plugin) -> list[BestRun] | None:
    best = hooks.first("hpsearch_best", study=study)
    if best is None:
        return None
    if not isinstance(best, list) or not all(isinstance(run, BestRun) for run in best):
        raise BackendError(
            f"{plugin} answered {best!r} in hpsearch_best, expected a list of BestRun or None"
        )
    trials = {trial.id: trial for trial in study.trials}
    for run in best:
        if run.run_id not in trials:
            raise BackendError(
                f"{plugin} names run {run.run_id!r} as best in hpsearch_best, and the history has "
                "no such trial"
            )
        run.trial = trials[run.run_id]
    return best


def _interrupted(study: Study) -> str:
    counts = study.counts()
    done = counts["complete"] + counts["pruned"]
    return f"interrupted with {done} trials complete or pruned; the error's study has them"
