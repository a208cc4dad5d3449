"""A :class:`Trial`: one evaluation of the objective, while it runs and in the history."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hpsearch.errors import HpsearchError
from hpsearch.space.distributions import Categorical, Choice, Distribution, Float, Int
from hpsearch.space.space import check_parameter
from hpsearch.study.seeds import derive_seed

if TYPE_CHECKING:
    from hpsearch.study.channel import Channel


class TrialState(StrEnum):
    """Where a trial is in its life. Every state but ``running`` is final."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrialError:
    """Why a trial failed, in a form that crosses processes and stays in the journal.

    Attributes:
        type: The exception's qualified name, such as ``ValueError`` or ``torch.OutOfMemoryError``.
        message: Its text.
        traceback: The formatted traceback, ``""`` where there is none.
        bases: Qualified names of the exception's classes, itself first; ``catch`` reads them.
    """

    type: str
    message: str
    traceback: str = ""
    bases: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> TrialError:
        """Describe an exception."""
        bases = tuple(qualified_name(base) for base in type(error).__mro__[:-1])
        text = "".join(traceback.format_exception(error))
        return cls(bases[0], str(error), text, bases)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrialError:
        """Read the JSON form back."""
        return cls(**{**data, "bases": tuple(data.get("bases", ()))})

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class Trial(Mapping[str, Any]):
    """One evaluation: a read-only mapping of what the objective gets, and its story.

    ``trial["lr"]`` and ``dict(trial)`` are the values that the objective works with: the searched
    parameters, and whatever a space function derived from them. ``trial.params`` are the searched
    ones alone. While the trial runs, :meth:`report`, :meth:`should_prune` and the ``suggest_*``
    methods talk to the study, from whichever process the trial runs in. Where the engine has a
    trial object of its own and it is at hand, its other attributes are reachable here too.

    Attributes:
        number: Position in the study, from 0.
        id: Short text that is unique in the study; names the run's folder.
        state: A :class:`TrialState`.
        objectives: One value for each direction once the trial is complete, else None.
        intermediate: What was reported: step to one value for each direction.
        attrs: JSON facts kept with the trial by :meth:`annotate`.
        distributions: In a define-by-run search, what each parameter was drawn from.
        error: Why it failed, else None.
        fixed: Parameters set beforehand (enqueued, retried) instead of suggested.
        retry_of: The number of the failed trial that this one runs again, else None.
        started: Start, in seconds since the epoch.
        ended: End, in seconds since the epoch, None while it runs.
        native: The engine's own trial object while it is at hand, else None.
        resume_from: The folder of a checkpoint to go on from, set by a backend with the capability
            ``checkpoints``; else None.
    """

    __slots__ = (
        "_channel",
        "_derived",
        "_params",
        "_prune",
        "_study_seed",
        "_view",
        "attrs",
        "distributions",
        "ended",
        "error",
        "fixed",
        "id",
        "intermediate",
        "native",
        "number",
        "objectives",
        "resume_from",
        "retry_of",
        "started",
        "state",
    )

    def __init__(
        self,
        number: int,
        *,
        params: Mapping[str, Any] | None = None,
        study_seed: int = 0,
        id: str | None = None,
        fixed: Mapping[str, Any] | None = None,
        retry_of: int | None = None,
        started: float = 0.0,
    ) -> None:
        self.number = number
        self.id = str(number) if id is None else id
        self.state = TrialState.RUNNING
        self.objectives: tuple[float, ...] | None = None
        self.intermediate: dict[int, tuple[float, ...]] = {}
        self.attrs: dict[str, Any] = {}
        self.distributions: dict[str, Distribution] = {}
        self.error: TrialError | None = None
        self.fixed: Mapping[str, Any] = fixed or {}
        self.retry_of = retry_of
        self.started = started
        self.ended: float | None = None
        self.native: Any = None
        self.resume_from: str | None = None
        self._study_seed = study_seed
        self._params: dict[str, Any] = dict(params) if params else {}
        self._derived: dict[str, Any] = {}
        self._view = self._params
        self._channel: Channel | None = None
        self._prune = False

    # What the trial is.

    @property
    def params(self) -> Mapping[str, Any]:
        """The searched parameters: what the backend chose, by name."""
        return MappingProxyType(self._params)

    @property
    def assignments(self) -> Mapping[str, Any]:
        """The searched parameters, in SigOpt's word: code written for it runs on any backend."""
        return self.params

    @property
    def config(self) -> Mapping[str, Any]:
        """What the objective gets, nested groups too, in the word of Ray Tune and W&B."""
        return MappingProxyType(self._view)

    @property
    def derived(self) -> Mapping[str, Any]:
        """What a space function returned beyond the searched parameters, by name."""
        return MappingProxyType(self._derived)

    @property
    def seed(self) -> int:
        """A seed of the trial's own, from 0 to 2**32 - 1, from the study's seed and the number."""
        return derive_seed(self._study_seed, self.number)

    @property
    def objective(self) -> float | None:
        """The objective value of a complete trial in a study with one direction, else None."""
        return self.objectives[0] if self.objectives and len(self.objectives) == 1 else None

    @property
    def ended_well(self) -> bool:
        """Whether the trial is complete or pruned."""
        return self.state is TrialState.COMPLETE or self.state is TrialState.PRUNED

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, None while it runs."""
        return None if self.ended is None else self.ended - self.started

    def __getitem__(self, name: str) -> Any:
        return self._view[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._view)

    def __len__(self) -> int:
        return len(self._view)

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
            native = self.native
            if native is not None:
                return getattr(native, name)
        raise AttributeError(
            f"a trial has no attribute {name!r}; its parameters are read as trial[{name!r}]"
        )

    def __repr__(self) -> str:
        outcome = "" if self.objectives is None else f" objectives={self.objectives}"
        return f"<Trial {self.number} {self.state}{outcome} {self._view}>"

    # What a running objective asks of the study.

    def report(
        self, value: float | Sequence[float], step: int, checkpoint: str | None = None
    ) -> None:
        """Report an intermediate value (or one for each direction) of the objective at a step.

        A step is reported once: a second value for the same step is ignored with a warning.

        Args:
            value: A number, or a sequence with one for each direction; NaN is allowed.
            step: A whole number of at least 0, such as the epoch or the global step.
            checkpoint: A folder from which the trial, or another one, can go on from here. Only
                a backend with the capability ``checkpoints`` makes use of it.
        """
        if type(step) is not int:
            step = _whole_number(step)
        if step < 0:
            raise ValueError(f"step is {step}, expected a whole number of at least 0")
        values = as_floats(value)
        if step in self.intermediate:
            warnings.warn(
                f"trial {self.number} reported step {step} twice; the first value stays",
                stacklevel=2,
            )
            return
        if self._live("report").report(step, values, checkpoint):
            self._prune = True
        self.intermediate[step] = values

    def should_prune(self) -> bool:
        """Whether the backend or the pruner wants the trial stopped, as of the last report.

        The objective then raises :class:`~hpsearch.errors.TrialPruned`.
        """
        return self._prune

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggest a real number in ``[low, high]``; see :class:`~hpsearch.space.Float`."""
        value: float = self.suggest(name, Float(low, high, step=step, log=log))
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Suggest a whole number in ``[low, high]``; see :class:`~hpsearch.space.Int`."""
        value: int = self.suggest(name, Int(low, high, step=step, log=log))
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Any:
        """Suggest one of the choices; see :class:`~hpsearch.space.distributions.Categorical`."""
        return self.suggest(name, Categorical(choices))

    def suggest(self, name: str, distribution: Distribution) -> Any:
        """Suggest a value for a parameter of the given distribution.

        Asked again for a name, it answers the same value.

        Raises:
            SpaceError: The distribution is not valid, or is not the one that this name had before.
        """
        check_parameter(name, distribution)
        value = self._live("suggest").suggest(name, distribution)
        self._params[name] = value
        if self._view is not self._params:
            self._derive(self._derived)
        return value

    def annotate(self, name: str, value: Any) -> None:
        """Keep a JSON fact with the trial, in ``trial.attrs``, the journal and the exports."""
        self._live("annotate").annotate(name, value)
        self.attrs[name] = value

    def stop_study(self) -> None:
        """Start no more trials after those now running."""
        self._live("stop_study").stop()

    # What only the package itself does to a trial.

    def _live(self, wish: str) -> Channel:
        if self._channel is None:
            raise HpsearchError(f"trial {self.number} has ended; {wish} works while it runs")
        return self._channel

    def _agree(self, name: str, decide: Callable[[], Any]) -> Any:
        """Decide something once for all processes that run this trial together."""
        return self._live("agree").agree(name, decide)

    def _derive(self, derived: Mapping[str, Any]) -> None:
        """Set what a space function returned beyond the searched parameters."""
        self._derived = dict(derived)
        self._view = {**self._params, **self._derived} if derived else self._params


def as_floats(value: object) -> tuple[float, ...]:
    """Return a number, a 0-d array or a sequence of them as a tuple of plain floats.

    Raises:
        TypeError: It is something else.
    """
    if type(value) is float:
        return (value,)
    if isinstance(value, str | bytes) or value is None:
        raise TypeError(f"expected a number or a sequence of numbers, got {value!r}")
    if isinstance(value, Sequence):
        return tuple(_as_float(item) for item in value)
    return (_as_float(value),)


def _as_float(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise TypeError(f"expected a number, got the text {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"expected a number, got {value!r}") from error


def _whole_number(step: Any) -> int:
    if isinstance(step, bool) or not hasattr(step, "__index__"):
        raise ValueError(f"step is {step!r}, expected a whole number of at least 0")
    return int(step)


def qualified_name(cls: type) -> str:
    """Return a class's name with its module, builtins without."""
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
