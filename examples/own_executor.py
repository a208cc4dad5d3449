"""An executor of one's own: trials in threads of this process."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import hpsearch
from hpsearch import Float, TrialRecord
from hpsearch.execution import Executor
from hpsearch.execution.evaluate import Evaluate
from hpsearch.study.control import Control
from hpsearch.study.outcome import Outcome


class ThreadExecutor(Executor):
    def __init__(self, n_workers: int | None = None, options: object = None) -> None:
        self.n_workers = n_workers or 2

    def open(self, control: Control, evaluate: Evaluate) -> None:
        self._control, self._evaluate = control, evaluate
        self._pool = ThreadPoolExecutor(self.n_workers)
        self._running: dict[Future[Outcome], TrialRecord] = {}

    def submit(self, trial: TrialRecord) -> None:
        future = self._pool.submit(self._evaluate.run, trial, self._control.channel(trial))
        self._running[future] = trial

    def wait(self) -> tuple[TrialRecord, Outcome]:
        ended, _ = wait(self._running, return_when=FIRST_COMPLETED)
        future = ended.pop()
        return self._running.pop(future), future.result()

    def close(self) -> None:
        self._pool.shutdown()


def objective(trial):
    return (trial["x"] - 2) ** 2


if __name__ == "__main__":
    study = hpsearch.search(
        objective,
        {"x": Float(-10, 10)},
        backend="random",
        executor=ThreadExecutor(n_workers=4),
        n_trials=40,
        seed=1,
        progress=False,
    )
    print(study.counts(), study.best.hyperparameters)
