"""The core's own loop, for every ask/tell backend: ask, run the trial, tell everyone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.plugins.hookspecs import hookimpl

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
    """Leaves the loop to an executor that runs whole searches."""

    def __init__(self, executor: LoopExecutor) -> None:
        self._executor = executor

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        self._executor.run(study, evaluate)
        return True
