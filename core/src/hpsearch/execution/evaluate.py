"""Running one trial: a picklable callable that needs a payload and a channel, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from hpsearch.errors import ObjectiveError, TrialPruned
from hpsearch.study.trial import Trial, TrialError, TrialState, as_floats

if TYPE_CHECKING:
    from hpsearch.study.channel import Channel

Objective: TypeAlias = "Callable[[Any], Any]"
"""Takes the trial, returns a float, or a sequence with one for each direction."""

Payload: TypeAlias = dict[str, Any]
"""What a trial needs to start elsewhere, as JSON: number, id, params, seed, checkpoint."""


def payload_of(trial: Trial) -> Payload:
    """Return what has to travel for ``trial`` to run in another place."""
    return {
        "number": trial.number,
        "id": trial.id,
        "params": trial._params,
        "study_seed": trial._study_seed,
        "resume_from": trial.resume_from,
    }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended, as its evaluation sees it.

    Attributes:
        state: ``complete``, ``pruned`` or ``failed``.
        objectives: One finite value for each direction if complete, else None.
        error: Why it failed, else None.
        exception: The exception itself where it was raised in this process; never travels.
    """

    state: TrialState
    objectives: tuple[float, ...] | None = None
    error: TrialError | None = None
    exception: BaseException | None = field(default=None, compare=False)

    @classmethod
    def failed(cls, error: BaseException) -> Outcome:
        """The outcome of a trial that raised."""
        return cls(TrialState.FAILED, None, TrialError.of(error), error)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """Read the JSON form back."""
        return cls(
            TrialState(data["state"]),
            None if data["objectives"] is None else tuple(data["objectives"]),
            None if data["error"] is None else TrialError.from_dict(data["error"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, without the exception object."""
        return {
            "state": str(self.state),
            "objectives": None if self.objectives is None else list(self.objectives),
            "error": None if self.error is None else self.error.to_dict(),
        }


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

    def __call__(self, payload: Payload, channel: Channel) -> Outcome:
        """Run a trial to its end, wherever this is.

        Args:
            payload: What :func:`payload_of` returned, here or in another process.
            channel: The trial's way to its study.

        Returns:
            The outcome. An ``Exception`` becomes a failed one; anything beyond, such as
            ``KeyboardInterrupt``, is raised.
        """
        trial = Trial(
            payload["number"],
            id=payload["id"],
            params=payload["params"],
            study_seed=payload["study_seed"],
        )
        trial.resume_from = payload["resume_from"]
        return self.run(trial, channel)

    def run(self, trial: Trial, channel: Channel) -> Outcome:
        """Run a trial of the history itself, in the study's own process.

        Args:
            trial: A trial that has started; it keeps the engine's own trial object, if it has one.
            channel: Its way to its study.

        Returns:
            The outcome, as when called with a payload.
        """
        trial._channel = channel
        try:
            if self.space_function is not None:
                derived = derived_values(self.space_function(trial), trial.params)
                if derived:
                    channel.derive(derived)
                    trial._derive(derived)
            return Outcome(TrialState.COMPLETE, self._objectives(self.objective(trial)))
        except TrialPruned:
            return Outcome(TrialState.PRUNED)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this trial's outcome
            # Optuna users raise optuna.TrialPruned; the name says it without importing optuna.
            if type(error).__name__ == "TrialPruned":
                return Outcome(TrialState.PRUNED)
            return Outcome.failed(error)
        finally:
            trial._channel = None

    def _objectives(self, returned: Any) -> tuple[float, ...]:
        try:
            objectives = as_floats(returned)
        except TypeError as error:
            raise ObjectiveError(
                f"the objective returned {returned!r}, expected "
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
            f"the space function returned {returned!r}, expected a mapping of names to values"
        )
    unnamed = [name for name in returned if not isinstance(name, str)]
    if unnamed:
        raise ObjectiveError(f"the space function returned names that are no text: {unnamed!r}")
    return {
        name: value
        for name, value in returned.items()
        if name not in params or type(params[name]) is not type(value) or params[name] != value
    }
