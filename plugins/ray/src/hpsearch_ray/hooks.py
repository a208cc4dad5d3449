"""Tune's other hooks in this process, which all talk to the driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ray.tune import Callback, Stopper
from ray.tune.stopper import CombinedStopper, FunctionStopper, NoopStopper
from ray.tune.utils import flatten_dict

if TYPE_CHECKING:
    from ray.tune.experiment import Trial as TuneTrial

    from hpsearch_ray.driver import Driver


class Reports(Stopper):
    """Hears each report before Tune's scheduler does, and stops what is to be stopped.

    Args:
        driver: Records the reports.
        criterion: The user's own, None for none.
    """

    def __init__(self, driver: Driver, criterion: Stopper | None) -> None:
        self._driver = driver
        self._criterion = criterion

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Record a report; return whether to stop its trial."""
        with self._driver.guarded():
            if self._driver.hear(trial_id, result):
                return True
            if self._criterion is not None and self._criterion(trial_id, result):
                self._driver.has_done_enough(trial_id)
                return True
        return False

    def stop_all(self) -> bool:
        """Whether the whole search is to stop at once."""
        own = self._criterion is not None and self._criterion.stop_all()
        return self._driver.over or own

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune snapshots its state every few seconds. A search is resumed from the journal.
        return NoopStopper, ()


class Trials(Callback):
    """Tells the driver when trials start, save and end."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """Look for trials that ended with no other hook called."""
        with self._driver.guarded():
            self._driver.settle()

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Record new parameters, if the trial goes on with others."""
        with self._driver.guarded():
            self._driver.changed(trial)

    def on_checkpoint(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        checkpoint: Any,
        **info: Any,
    ) -> None:
        """Record where the checkpoint is."""
        with self._driver.guarded():
            self._driver.saved(trial, checkpoint.path)

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Tell the history."""
        with self._driver.guarded():
            self._driver.ended(trial)

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Tell the history."""
        with self._driver.guarded():
            self._driver.failed(trial)


def read_criterion(stop: Any) -> Stopper | None:
    """Return what ``stop`` says, in any of the forms that ``tune.run`` takes, as one stopper."""
    if stop is None:
        return None
    if isinstance(stop, Mapping):
        return FunctionStopper(_reached(stop))
    if isinstance(stop, list):
        return CombinedStopper(*stop)
    return stop if isinstance(stop, Stopper) else FunctionStopper(stop)


def _reached(least: Mapping[str, float]) -> Callable[[str, dict[str, Any]], bool]:
    def reached(_: str, result: dict[str, Any]) -> bool:
        flat = flatten_dict(result)
        return any(name in flat and flat[name] >= value for name, value in least.items())

    return reached
