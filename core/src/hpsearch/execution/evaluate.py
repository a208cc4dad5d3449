"""Running one trial: a picklable callable that needs a record and a channel, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from hpsearch.errors import (
    EvaluationSignal,
    ObjectiveError,
    SearchAborted,
    SearchTerminated,
    TrialPruned,
    brief,
)
from hpsearch.study.outcome import Outcome, TrialState
from hpsearch.study.serial import record_from_dict
from hpsearch.study.trial import Trial, as_floats

if TYPE_CHECKING:
    from hpsearch.study.channel import Channel
    from hpsearch.study.record import TrialRecord

Objective: TypeAlias = "Callable[[Any], Any]"
"""Takes the trial, returns a float, or a sequence with one for each direction."""

Connect: TypeAlias = "Callable[[TrialRecord], Channel]"
"""From the record that stands for a trial to the trial's way to its study."""


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Run the objective for one payload, talking through a channel.

    It never sees the study, the backend or a plugin manager, so it can be pickled to a worker.

    Attributes:
        objective: The user's function.
        space_function: A define-by-run function to call before it, or None.
        directions: How many values the objective returns.
    """

    objective: Objective
    space_function: Callable[[Trial], Any] | None
    directions: int

    def __call__(self, payload: Mapping[str, Any], connect: Connect) -> Outcome:
        """Run a trial to its end, wherever this is.

        Args:
            payload: What :func:`~hpsearch.study.serial.payload_of` returned, in this process or in
                another.
            connect: Returns the trial's way to its study, for the record that stands for it here.

        Returns:
            The outcome, as :meth:`run` returns it.
        """
        record = record_from_dict(payload)
        return self.run(record, connect(record))

    def run(self, record: TrialRecord, channel: Channel) -> Outcome:
        """Run a trial to its end.

        Args:
            record: A trial that has started; it keeps the engine's own trial object, if it has one.
            channel: Its way to its study.

        Returns:
            The outcome. Whatever the objective raises becomes a failed one, ``SystemExit`` too.
            ``KeyboardInterrupt`` and what ends the search from outside are raised.
        """
        trial = Trial(record, channel)
        try:
            if self.space_function is not None:
                derived = derived_values(self.space_function(trial), trial.params)
                if derived:
                    trial.derive(derived)
            return Outcome(TrialState.COMPLETE, self._objectives(self.objective(trial)))
        except TrialPruned:
            return Outcome(TrialState.PRUNED)
        except SearchAborted as error:
            return Outcome.aborted(error.cause)
        except (KeyboardInterrupt, SearchTerminated, EvaluationSignal):
            raise
        except BaseException as error:  # noqa: BLE001 - it is this trial's outcome
            # Optuna users raise optuna.TrialPruned; the name says it without importing optuna.
            if type(error).__name__ == "TrialPruned":
                return Outcome(TrialState.PRUNED)
            return Outcome.failed(error)
        finally:
            trial.close()

    def _objectives(self, returned: Any) -> tuple[float, ...]:
        try:
            objectives = as_floats(returned)
        except TypeError as error:
            raise ObjectiveError(
                f"the objective returned {brief(returned)}, expected "
                + ("a number" if self.directions == 1 else f"{self.directions} numbers")
            ) from error
        if len(objectives) != self.directions:
            raise ObjectiveError(
                f"the objective returned {len(objectives)} values {objectives}, and the study has "
                f"{self.directions} direction{'s' if self.directions > 1 else ''}"
            )
        for value in objectives:
            if not math.isfinite(value):
                raise ObjectiveError(f"the objective returned {value}, expected a finite number")
        return objectives


def derived_values(returned: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a space function's result adds to, or changes in, the searched parameters.

    Raises:
        ObjectiveError: The function returned neither a mapping nor None.
    """
    if returned is None:
        return {}
    if not isinstance(returned, Mapping):
        raise ObjectiveError(
            f"the space function returned {brief(returned)}, expected a mapping of names to values"
        )
    unnamed = [name for name in returned if not isinstance(name, str)]
    if unnamed:
        raise ObjectiveError(f"the space function returned names that are no text: {unnamed!r}")
    return {
        name: value
        for name, value in returned.items()
        if name not in params or type(params[name]) is not type(value) or params[name] != value
    }
