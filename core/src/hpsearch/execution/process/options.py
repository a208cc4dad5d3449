"""The options of ``executor="process"``."""

from __future__ import annotations

from dataclasses import dataclass

from hpsearch.validators import check_options, flag, seconds, whole


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """Options of worker processes; ``docs/workers.md`` says more.

    Attributes:
        isolate: Give each trial a new process, and end it with the trial.
        trial_timeout: Seconds, from when it has begun in its worker, after which a trial has
            failed and its worker is killed; None for no limit.
        devices_per_trial: How many accelerators each worker has to itself; 0 lets all workers see
            all of them. None: one each where there are any.
        threads_per_worker: How many threads numerical libraries may use in each worker. None: the
            processor's cores divided by the workers, unless ``OMP_NUM_THREADS`` is set.

    Raises:
        OptionError: One has a value that it cannot have.
    """

    isolate: bool = False
    trial_timeout: float | None = None
    devices_per_trial: int | None = None
    threads_per_worker: int | None = None

    def __post_init__(self) -> None:
        check_options(self, flag, "isolate")
        check_options(self, seconds, "trial_timeout")
        check_options(self, whole, "devices_per_trial", least=0)
        check_options(self, whole, "threads_per_worker", least=1)
