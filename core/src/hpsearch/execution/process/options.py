"""The options of ``executor="process"``."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hpsearch.errors import OptionError, brief


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
        if not isinstance(self.isolate, bool):
            raise OptionError(f"isolate is {self.isolate!r}, expected True or False")
        seconds = self.trial_timeout
        if seconds is not None and (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not 0 < seconds <= sys.float_info.max
        ):
            raise OptionError(f"trial_timeout is {brief(seconds)}, expected seconds above 0")
        for name, least in (("devices_per_trial", 0), ("threads_per_worker", 1)):
            count = getattr(self, name)
            if count is not None and (type(count) is not int or count < least):
                raise OptionError(
                    f"{name} is {brief(count)}, expected a whole number of at least {least}"
                )
