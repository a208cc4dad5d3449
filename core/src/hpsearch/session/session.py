"""Running a search that has been checked: open the plugins, run the trials, close the plugins."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from hpsearch.errors import (
    ArgumentError,
    BackendError,
    CapabilityError,
    SearchFailedError,
    SearchInterrupted,
    rebuilt,
)
from hpsearch.session.loop import check_ended
from hpsearch.study.study import BestRun

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.plugins.hooks import Hooks, RegisteredPlugin
    from hpsearch.plugins.registry import Plugin
    from hpsearch.session.coordinator import Coordinator
    from hpsearch.study.study import Study

logger = logging.getLogger("hpsearch")


def run(
    coordinator: Coordinator,
    hooks: Hooks,
    plugin: Plugin,
    evaluate: Evaluate,
    enqueue: Sequence[object],
) -> None:
    """Run the search to its end; the study then has its trials.

    Raises:
        SearchFailedError: The failure policy ended it.
        SearchInterrupted: Ctrl-C did.
        HpsearchError: A plugin refused the search or broke its contract, or a trial refused it.
    """
    study = coordinator.study
    study.control = coordinator
    _enqueue(coordinator, enqueue)
    with _opened(study, hooks):
        if (study.trials or coordinator.has_waiting) and not study.capabilities.replay:
            raise CapabilityError(
                f"{plugin} accepts no trials that it did not suggest (capability 'replay'), so "
                "resume= and enqueue= do not work with it"
            )
        coordinator.replay()
        prepare: Callable[[Study], None] | None = getattr(evaluate.objective, "prepare", None)
        if prepare is not None:
            prepare(study)
        logger.info("study %r: %s, %s", study.name, plugin, "/".join(study.directions))
        try:
            hooks.first("hpsearch_run", study=study, evaluate=evaluate)
            coordinator.finish()
            check_ended(study, plugin)
        except BaseException as error:
            coordinator.interrupt(error)
            if isinstance(error, KeyboardInterrupt):
                raise SearchInterrupted(_interrupted(study), study) from error
            raise
        _raise_failure(coordinator)
        if not study.trials:
            coordinator.may_start()  # whoever ran the trials may not have asked why it cannot
            why = coordinator.stop_reason or f"{plugin} started none"
            logger.warning("study %r ended without a trial: %s", study.name, why)
        study.chosen = _chosen(study, hooks, plugin)
        constrained = any(trial.constraints for trial in study.trials)
        if constrained and study.counts()["complete"] and not study.best_trials():
            logger.warning("no complete trial of study %r keeps its constraints", study.name)


def _raise_failure(coordinator: Coordinator) -> None:
    """Raise what a trial or the failure policy ended the search for, if either did."""
    if coordinator.failure is None:
        return
    why, outcome = coordinator.failure
    if outcome.aborts and outcome.error is not None:
        raise outcome.exception or rebuilt(outcome.error.type, outcome.error.message)
    raise SearchFailedError(why, coordinator.study) from outcome.exception


@contextlib.contextmanager
def _opened(study: Study, hooks: Hooks) -> Iterator[None]:
    """Open every plugin in order; close those that were opened, last first, whatever happens."""
    process = os.getpid()
    opened: list[RegisteredPlugin] = []
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
        # What a forked process closes would be closed under the feet of the search itself.
        if os.getpid() == process:
            _close(study, hooks, opened, failure)


def _close(
    study: Study, hooks: Hooks, opened: list[RegisteredPlugin], failure: BaseException | None
) -> None:
    """Close every plugin, whatever closing another one meets, then raise the first problem."""
    problems: list[BaseException] = []
    for member in reversed(opened):
        try:
            hooks.call_one(member, "hpsearch_close", study=study, error=failure)
        except BaseException as error:  # noqa: BLE001 - the others still close; it is raised below
            problems.append(error)
    hooks.release()
    study.control = None
    interrupts = [problem for problem in problems if isinstance(problem, KeyboardInterrupt)]
    if interrupts:
        raise SearchInterrupted(_interrupted(study), study) from interrupts[0]
    for problem in problems:
        if failure is None:
            raise problem
        # What ended the search outranks what closing it met.
        logger.error("while closing after an error: %s", problem)


def _enqueue(coordinator: Coordinator, enqueue: Sequence[object]) -> None:
    n_trials = coordinator.study.n_trials
    if n_trials is not None and len(enqueue) > n_trials:
        raise ArgumentError(
            f"{len(enqueue)} trials are enqueued and n_trials is {n_trials}; raise n_trials"
        )
    for params in enqueue:
        coordinator.enqueue(params)


def _chosen(study: Study, hooks: Hooks, plugin: Plugin) -> tuple[int, ...] | None:
    """Return the numbers of the trials that a backend names as the best, None if none does."""
    best = hooks.first("hpsearch_best", study=study)
    if best is None:
        return None
    if not isinstance(best, list) or not all(isinstance(run, BestRun) for run in best):
        raise BackendError(
            f"{plugin} answered {best!r} in hpsearch_best, expected a list of BestRun or None"
        )
    numbers = {trial.id: trial.number for trial in study.trials}
    for run in best:
        if run.run_id not in numbers:
            raise BackendError(
                f"{plugin} names run {run.run_id!r} as best in hpsearch_best, and the study has "
                "no such trial"
            )
    return tuple(numbers[run.run_id] for run in best)


def _interrupted(study: Study) -> str:
    counts = study.counts()
    done = counts["complete"] + counts["pruned"]
    return f"interrupted with {done} trials complete or pruned; the error's study has them"
