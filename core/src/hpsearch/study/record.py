"""A :class:`TrialRecord`: everything that is known of one trial, as plain data.

The coordinator of a search writes it, in the study's own process, and so does the channel of a
trial that runs elsewhere, in that trial's copy. Everybody else reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from hpsearch.space.thresholds import bare_name
from hpsearch.study.outcome import Outcome, TrialError, TrialState
from hpsearch.study.seeds import derive_seed
from hpsearch.validators import is_finite

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution
    from hpsearch.space.thresholds import Threshold


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Nothing(dict[Any, Any]):
    """A dict that is empty and stays so: all records share one, which saves 64 bytes a field."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a record is written by its own methods, such as record.annotate(...)")

    __setitem__ = __ior__ = setdefault = update = _refuse


NOTHING: Final[dict[Any, Any]] = _Nothing()


def _with(known: dict[_Key, _Value], key: _Key, value: _Value) -> dict[_Key, _Value]:
    """Return the dict with one more item: the same dict, unless it is the one that stays empty."""
    if known is NOTHING:
        return {key: value}
    known[key] = value
    return known


class TrialRecord(Mapping[str, Any]):
    """One evaluation and its story: a read-only mapping of what the objective got.

    ``record["lr"]`` and ``dict(record)`` are the values that the objective worked with: the
    searched parameters, and what a space function derived from them. ``record.params`` are the
    searched ones alone.

    Attributes:
        number: Position in the study, from 0.
        id: Short text that is unique in the study; names the run's folder.
        state: A :class:`~hpsearch.study.outcome.TrialState`.
        objectives: One value for each direction once the trial is complete, else None.
        intermediate: What was reported: step to one value for each direction, the lowest step
            first.
        constraints: Name to value; the trial is feasible where all are at most 0.
        attrs: JSON facts kept with the trial.
        distributions: In a define-by-run search, what each parameter was drawn from.
        error: Why it failed, else None.
        fixed: Parameters set beforehand (enqueued, retried) instead of suggested.
        retry_of: The number of the failed trial that this one runs again, else None.
        study_seed: The seed of the study, from which the trial's own follows.
        started: Start, in seconds since the epoch.
        ended: End, in seconds since the epoch, None while it runs.
        duration: Seconds from start to end on a clock that nobody sets, None while it runs.
        native: The engine's own trial object while it is at hand, else None. It is no data: it is
            never stored, compared or sent.
        resume_from: The folder of a checkpoint to continue from, set by a backend with the
            capability ``checkpoints``; else None.
    """

    __slots__ = (
        "_derived",
        "_params",
        "_view",
        "attrs",
        "constraints",
        "distributions",
        "duration",
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
        "study_seed",
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
        resume_from: str | None = None,
    ) -> None:
        self.number = number
        self.id = str(number) if id is None else id
        self.state = TrialState.RUNNING
        self.objectives: tuple[float, ...] | None = None
        self.intermediate: dict[int, tuple[float, ...]] = NOTHING
        self.constraints: dict[str, float] = NOTHING
        self.attrs: dict[str, Any] = NOTHING
        self.distributions: dict[str, Distribution] = NOTHING
        self.error: TrialError | None = None
        self.fixed: Mapping[str, Any] = fixed or NOTHING
        self.retry_of = retry_of
        self.study_seed = study_seed
        self.started = started
        self.ended: float | None = None
        self.duration: float | None = None
        self.native: Any = None
        self.resume_from = resume_from
        self._params: dict[str, Any] = dict(params) if params else {}
        self._derived: dict[str, Any] = NOTHING
        self._view = self._params

    # Reading.

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
        return derive_seed(self.study_seed, self.number)

    @property
    def objective(self) -> float | None:
        """The objective value of a complete trial in a study with one direction, else None."""
        return self.objectives[0] if self.objectives and len(self.objectives) == 1 else None

    @property
    def feasible(self) -> bool:
        """Whether every constraint is at most 0, as for a trial without any."""
        return not self.constraints or all(value <= 0 for value in self.constraints.values())

    @property
    def result(self) -> tuple[float, ...] | None:
        """The objectives of a complete trial, what a pruned one reported last, else None."""
        if self.state is TrialState.PRUNED and self.intermediate:
            return self.intermediate[next(reversed(self.intermediate))]
        return self.objectives

    def metric(self, name: str) -> float | None:
        """Return what the trial annotated as a metric, or its evaluation has under that name.

        Returns:
            A finite number, or None where there is none.
        """
        said = (*_under(name, self.attrs), *_under(name, self._evaluated))
        return next((float(value) for value in said if is_finite(value)), None)

    def says(self, name: str) -> bool:
        """Whether the trial has such a metric, also where its evaluation measured NaN."""
        return self.metric(name) is not None or any(
            isinstance(value, float) for value in _under(name, self._evaluated)
        )

    @property
    def _evaluated(self) -> Mapping[str, Any]:
        evaluated = self.attrs.get("metrics")
        return evaluated if isinstance(evaluated, Mapping) else {}

    def beyond(self, threshold: Threshold) -> float:
        """Return how far an ended trial is beyond a threshold, at most 0 where it keeps it."""
        if threshold.objective is None:
            return threshold.beyond(self.metric(threshold.metric))
        value = math.nan if self.result is None else self.result[threshold.objective]
        return threshold.beyond(value if math.isfinite(value) else None)

    @property
    def checkpoint(self) -> str | None:
        """The folder of what the trial saved, if it saved anything that is still kept."""
        path: str | None = self.attrs.get("checkpoint")
        return path

    @property
    def ended_well(self) -> bool:
        """Whether the trial is complete or pruned."""
        return self.state is TrialState.COMPLETE or self.state is TrialState.PRUNED

    def __getitem__(self, name: str) -> Any:
        return self._view[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._view)

    def __len__(self) -> int:
        return len(self._view)

    def __bool__(self) -> bool:
        return True  # also one without parameters: `if trial:` asks whether there is a trial

    # A trial is itself and no other, though two may have drawn the same parameters.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        outcome = "" if self.objectives is None else f" objectives={self.objectives}"
        return f"<TrialRecord {self.number} {self.state}{outcome} {self._view}>"

    # Writing: each fact of a trial gets into its record by one of these.

    def suggest(self, name: str, value: Any, distribution: Distribution | None = None) -> None:
        """Take a parameter, and in a define-by-run search what it was drawn from."""
        self._params[name] = value
        if distribution is not None:
            self.distributions = _with(self.distributions, name, distribution)
        self._renew_view()

    def replace(self, params: Mapping[str, Any]) -> None:
        """Take other parameters in place of all that there are."""
        self._params = dict(params)
        self._renew_view()

    def derive(self, values: Mapping[str, Any]) -> None:
        """Take what a space function returned beyond the searched parameters."""
        self._derived = dict(values)
        self._renew_view()

    def report(self, step: int, values: tuple[float, ...]) -> None:
        """Take an intermediate result."""
        behind = bool(self.intermediate) and step < next(reversed(self.intermediate))
        self.intermediate = _with(self.intermediate, step, values)
        if behind:  # they are in one order, however they came: a journal knows no other
            self.intermediate = dict(sorted(self.intermediate.items()))

    def constrain(self, name: str, value: float) -> None:
        """Take the value of a constraint."""
        self.constraints = _with(self.constraints, name, value)

    def annotate(self, name: str, value: Any) -> None:
        """Take a JSON fact."""
        self.attrs = _with(self.attrs, name, value)

    def end(self, outcome: Outcome, ended: float, duration: float) -> None:
        """Take how the trial ended."""
        self.state = outcome.state
        self.objectives = outcome.objectives
        self.error = outcome.error
        self.ended = ended
        self.duration = duration

    def _renew_view(self) -> None:
        self._view = {**self._params, **self._derived} if self._derived else self._params


def _under(name: str, facts: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what stands under a metric's name, as written or as a Trainer calls it."""
    yield from (facts[key] for key in (name, f"eval_{bare_name(name)}") if key in facts)
