"""A :class:`Trial`: what an objective gets. A record to read, and a channel to its study."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hpsearch.errors import ArgumentError, HpsearchError, brief
from hpsearch.space.space import check_parameter
from hpsearch.space.suggester import Suggester

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.channel import Channel
    from hpsearch.study.outcome import TrialState
    from hpsearch.study.record import TrialRecord

RESERVED: Final = frozenset(
    {
        "arguments",
        "changed_params",
        "checkpoints",
        "continued",
        "judged_at",
        "left_by_rank",
        "output_dir",
        "repeats",
        "replayed",
        "run_name",
        "search",
        "training_seed",
    }
)
"""Names of facts that hpsearch writes itself, and acts on: it deletes folders that they name."""

MOST_STEP: Final = 2**63 - 1
"""The largest step, which every engine and file can still hold."""


class Trial(Suggester, Mapping[str, Any]):
    """One evaluation while it runs: a read-only mapping of what the objective gets.

    ``trial["lr"]`` and ``dict(trial)`` are the values to work with: the searched parameters, and
    whatever a space function derived from them. ``trial.params`` are the searched ones alone.
    :meth:`report`, :meth:`should_prune`, :meth:`set_constraint` and the ``suggest_*`` methods talk
    to the study, from whichever process the trial runs in. Where the engine has a trial object of
    its own and it is at hand, its other attributes are reachable here too.

    Args:
        record: What is known of the trial.
        channel: The trial's way to its study.
    """

    __slots__ = ("_channel", "_extra", "_prune", "_record")

    def __init__(self, record: TrialRecord, channel: Channel) -> None:
        self._record = record
        self._channel: Channel | None = channel
        self._extra: Mapping[str, Any] = {}
        self._prune = False

    # What the trial is.

    @property
    def record(self) -> TrialRecord:
        """What is known of the trial so far."""
        return self._record

    @property
    def number(self) -> int:
        """Position in the study, from 0."""
        return self._record.number

    @property
    def id(self) -> str:
        """Short text that is unique in the study; names the run's folder."""
        return self._record.id

    @property
    def state(self) -> TrialState:
        """Where the trial is in its life."""
        return self._record.state

    @property
    def seed(self) -> int:
        """A seed of the trial's own, from 0 to 2**32 - 1."""
        return self._record.seed

    @property
    def params(self) -> Mapping[str, Any]:
        """The searched parameters: what the backend chose, by name."""
        return self._record.params

    @property
    def assignments(self) -> Mapping[str, Any]:
        """The searched parameters, in SigOpt's word: code written for it runs on any backend."""
        return self._record.params

    @property
    def derived(self) -> Mapping[str, Any]:
        """What a space function returned beyond the searched parameters, by name."""
        return MappingProxyType({**self._record.derived, **self._extra})

    @property
    def config(self) -> Mapping[str, Any]:
        """What the objective gets, nested groups too, in the word of Ray Tune and W&B."""
        return MappingProxyType(self._values())

    @property
    def fixed(self) -> Mapping[str, Any]:
        """Parameters set beforehand (enqueued, retried) instead of suggested."""
        return self._record.fixed

    @property
    def retry_of(self) -> int | None:
        """The number of the failed trial that this one runs again, else None."""
        return self._record.retry_of

    @property
    def started(self) -> float:
        """Start, in seconds since the epoch."""
        return self._record.started

    @property
    def intermediate(self) -> Mapping[int, tuple[float, ...]]:
        """What was reported: step to one value for each direction."""
        return self._record.intermediate

    @property
    def constraints(self) -> Mapping[str, float]:
        """What :meth:`set_constraint` set, by name."""
        return self._record.constraints

    @property
    def feasible(self) -> bool:
        """Whether every constraint set so far is at most 0."""
        return self._record.feasible

    @property
    def attrs(self) -> Mapping[str, Any]:
        """JSON facts kept with the trial by :meth:`annotate`."""
        return self._record.attrs

    @property
    def resume_from(self) -> str | None:
        """The folder of a checkpoint to continue from, None where the trial starts from nothing."""
        return self._record.resume_from

    @property
    def native(self) -> Any:
        """The engine's own trial object while it is at hand, else None."""
        return self._record.native

    def __getitem__(self, name: str) -> Any:
        return self._extra[name] if name in self._extra else self._record[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __bool__(self) -> bool:
        return True  # also one without parameters: `if trial:` asks whether there is a trial

    # A trial is itself and no other, though two may have drawn the same parameters.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("suggest_"):
            # An engine's own would choose a value that the study never hears of.
            raise AttributeError(
                f"a trial has no {name}; it has suggest_float, suggest_int and suggest_categorical"
            )
        if not name.startswith("_"):
            native = self._record.native
            if native is not None:
                return getattr(native, name)
        raise AttributeError(
            f"a trial has no attribute {name!r}; its parameters are read as trial[{name!r}]"
        )

    def __repr__(self) -> str:
        return f"<Trial {self.number} {self.state} {self._values()}>"

    # What a running objective asks of the study.

    @property
    def channel(self) -> Channel:
        """The trial's way to its study.

        Raises:
            HpsearchError: The trial has ended.
        """
        if self._channel is None:
            raise HpsearchError(
                f"trial {self.number} has ended; it cannot talk to its study any more"
            )
        return self._channel

    def report(
        self,
        value: float | Sequence[float],
        step: int,
        checkpoint: str | PathLike[str] | None = None,
    ) -> None:
        """Report an intermediate value (or one for each direction) of the objective at a step.

        A step is reported once: a second value for the same step is ignored with a warning.

        Args:
            value: A number, or a sequence with one for each direction; NaN is allowed.
            step: A whole number from 0 to 2**63 - 1, such as the epoch or the global step.
            checkpoint: A folder from which the trial, or another one, can continue. Only a
                backend with the capability ``checkpoints`` makes use of it.

        Raises:
            ArgumentError: The step is not such a number, or there is not one value for each
                direction.
            TypeError: The value is not a number.
        """
        if type(step) is not int or not 0 <= step <= MOST_STEP:
            step = _step(step)
        values = as_floats(value)
        if step in self._record.intermediate:
            warnings.warn(
                f"trial {self.number} reported step {step} twice; the first value stays",
                stacklevel=2,
            )
            return
        folder = None if checkpoint is None else os.fspath(checkpoint)
        if self.channel.report(step, values, folder):
            self._prune = True

    def should_prune(self) -> bool:
        """Whether the backend or the pruner wants the trial stopped, as of the last report.

        The objective then raises :class:`~hpsearch.errors.TrialPruned`.
        """
        return self._prune

    def suggest(self, name: str, distribution: Distribution) -> Any:
        """Suggest a value for a parameter of the given distribution.

        Asked again for a name, it answers the same value.

        Raises:
            SpaceError: The distribution is not valid, or is not the one that this name had before.
        """
        check_parameter(name, distribution)
        return self.channel.suggest(name, distribution)

    def set_constraint(self, name: str, value: float) -> None:
        """Say how far the trial is from a limit: the trial is feasible where no value is above 0.

        Only feasible trials can be the best run or on the Pareto front, on every backend. A
        backend that knows constraints, such as Optuna's samplers, takes them into account. The
        convention is Optuna's. A second value for the same name is ignored with a warning.

        Args:
            name: What the constraint is called, such as ``"memory"``.
            value: For example ``used - allowed``.

        Raises:
            ArgumentError: The name is not a text, or the value is NaN.
            TypeError: The value is not a number.

        Example:
            >>> def objective(trial):
            ...     trial.set_constraint("size", trial["layers"] * trial["width"] - 4096)
            ...     return trial["layers"] / trial["width"]
        """
        if not isinstance(name, str) or not name:
            raise ArgumentError(f"the name of a constraint is {name!r}, expected a text")
        number = as_float(value)
        if math.isnan(number):
            raise ArgumentError(f"constraint {name!r} is NaN, expected a number")
        if name in self._record.constraints:
            warnings.warn(
                f"trial {self.number} set constraint {name!r} twice; the first value stays",
                stacklevel=2,
            )
        else:
            self.channel.constrain(name, number)

    def annotate(self, name: str, value: Any) -> None:
        """Keep a JSON fact with the trial, in ``trial.attrs``, the journal and the exports.

        The fact is kept as it is now: changing the value afterwards changes nothing.

        Raises:
            ArgumentError: The name is not a text or is reserved, or the value is not JSON.
        """
        if isinstance(name, str) and name in RESERVED:
            raise ArgumentError(
                f"the fact {name!r} is written by hpsearch itself; choose another name"
            )
        self.channel.annotate(name, value)

    def derive(self, values: Mapping[str, Any]) -> None:
        """Add values to what the objective gets, computed from the searched parameters.

        The objective gets the very objects; the record keeps them as JSON.

        Raises:
            ArgumentError: A value is not JSON.
        """
        self.channel.derive(values)
        self._extra = dict(values)

    def stop_study(self) -> None:
        """Start no more trials after those now running."""
        self.channel.stop()

    def close(self) -> None:
        """End the talk to the study: the trial has ended."""
        self._channel = None

    def _values(self) -> dict[str, Any]:
        return {**self._record, **self._extra}


def as_floats(value: object) -> tuple[float, ...]:
    """Return a number, a 0-d array or a sequence of them as a tuple of plain floats.

    Raises:
        TypeError: It is something else.
    """
    if type(value) is float:
        return (value,)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(map(as_float, value))
    return (as_float(value),)


def as_float(value: Any) -> float:
    """Return a number or a 0-d array as a plain float.

    Raises:
        TypeError: It is something else, or too large for a float.
    """
    if isinstance(value, str | bytes) or value is None:
        raise TypeError(f"expected a number, got {brief(value)}")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"expected a number, got {brief(value)}") from error


def _step(step: Any) -> int:
    number = None if isinstance(step, bool) or not hasattr(step, "__index__") else int(step)
    if number is None or not 0 <= number <= MOST_STEP:
        raise ArgumentError(
            f"step is {brief(step, 60)}, expected a whole number from 0 to 2**63 - 1"
        )
    return number
