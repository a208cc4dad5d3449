"""The core's own loop, for every ask/tell backend: ask, run the trial, tell everyone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.errors import BackendError
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.study.outcome import TrialState

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.execution.executor import Executor, LoopExecutor
    from hpsearch.study.study import Study


class AskTellLoop:
    """Keeps the executor filled while trials may start, and the coordinator told.

    Args:
        executor: Where the trials run.
        max_open: The most suggestions that the backend can have open, None for any number.
    """

    def __init__(self, executor: Executor, max_open: int | None) -> None:
        self._executor = executor
        self._capacity = min(executor.n_workers, max_open or executor.n_workers)

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        control, executor = study.history, self._executor
        executor.open(control, evaluate)
        try:
            running = 0
            while True:
                while running < self._capacity:
                    trial = control.ask()
                    if trial is None:
                        break
                    executor.submit(trial)
                    running += 1
                if not running:
                    return True
                ended, outcome = executor.wait()
                running -= 1
                control.tell(ended, outcome)
        finally:
            executor.close()


class DelegatedLoop:
    """Leaves the loop to an executor that runs whole searches.

    Args:
        executor: The executor.
        label: How errors name it.
    """

    def __init__(self, executor: LoopExecutor, label: str) -> None:
        self._executor = executor
        self._label = label

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        self._executor.run(study, evaluate)
        if study.history.broken is None:
            check_ended(study, self._label)
        return True


def check_ended(study: Study, who: object) -> None:
    """Raise :class:`BackendError` if trials still run after the loop that ``who`` owned."""
    running = [trial.number for trial in study.trials if trial.state is TrialState.RUNNING]
    if running:
        raise BackendError(
            f"{who} ended the search, and did not tell how these trials ended: "
            f"{', '.join(map(str, running))}"
        )
