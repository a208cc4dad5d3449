"""The three kinds of parameter: :class:`Float`, :class:`Int` and :class:`Categorical`.

They are plain immutable records that mean the same on every backend. They carry no name, so they
are checked where their name is known: when a :class:`~hpsearch.space.space.Space` is built or a
trial suggests. What one engine can say and the three cannot is kept in its own words, in a
:class:`Native`, which only that engine searches.

Each value has one form. ``validate`` returns it for whatever is equal: a plain Python value for
one of NumPy's, a float for an int, and for a step the decimal that it means (see
:class:`~hpsearch.space.steps.Steps`), so 0.1 + 0.2 on steps of 0.1 is 0.3.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, TypeAlias

from hpsearch.errors import SpaceError
from hpsearch.space.steps import Steps, grid_of, last_step, too_fine

Choice: TypeAlias = "bool | int | float | str | None"
"""What a categorical parameter can be: a JSON scalar."""

LARGEST_EXACT: Final = 2**53
"""Up to here a float has every whole number. An engine that computes in floats ends here."""

_LARGEST: Final = sys.float_info.max
_SCALARS: Final = frozenset((bool, int, float, str, type(None)))
_MOST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in ``[low, high]``, both ends included.

    Args:
        low: Lower bound, finite.
        high: Upper bound, finite, not below ``low``.
        log: Search on a logarithmic scale; needs ``low > 0`` and excludes ``step``.
        step: Distance between allowed values, counted from ``low``; must divide the range. With a
            step, all three numbers are the decimals that they stand for.
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None
    _steps: Steps | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        low, high, step = self.low, self.high, self.step
        # Most are plain already, and this runs for each suggestion; 0.0 may be -0.0.
        if type(low) is not float or not low:
            object.__setattr__(self, "low", low := _as_float(low))
        if type(high) is not float or not high:
            object.__setattr__(self, "high", high := _as_float(high))
        if type(self.log) is not bool:
            object.__setattr__(self, "log", plain(self.log))
        if step is not None:
            self._count_steps(low, high, _as_float(step))

    def _count_steps(self, low: float, high: float, step: float) -> None:
        object.__setattr__(self, "step", step)
        if not type(low) is type(high) is type(step) is float:
            return
        if -math.inf < low <= high < math.inf and 0 < step < math.inf:
            steps = grid_of(low, high, step)
            if steps is not None:
                object.__setattr__(self, "low", steps.low)
                object.__setattr__(self, "high", steps.high)
                object.__setattr__(self, "step", steps.step)
                object.__setattr__(self, "_steps", steps)

    def check(self) -> None:
        """Raise :class:`SpaceError` if no search could use these bounds."""
        _check_bounds(self.low, self.high, (int, float), "number")
        _check_log(self)
        if self.step is None:
            return
        if self.log:
            raise SpaceError("log and step exclude each other for a Float; drop one of them")
        if not _is_number(self.step) or not _is_finite(self.step) or self.step <= 0:
            raise SpaceError(f"step is {_number(self.step)}, expected a finite number above 0")
        if self._steps is not None:
            return
        if too_fine(self.low, self.high, self.step):
            reach = max(self.low, self.high, key=abs)
            raise SpaceError(f"step {self.step!r} is too fine for the floats near {reach!r}")
        reach = last_step(self.low, self.high, self.step)
        raise SpaceError(
            f"step {self.step!r} does not divide the range {self.low!r} to {self.high!r}; "
            f"the last value would be {reach:.12g}, so write high={reach:.12g}"
        )

    def validate(self, value: object) -> float:
        """Return the one plain float that ``value`` stands for.

        With a step, a number stands for the step that it nearly is: within a millionth of the step
        or the precision of a 32-bit float, whichever is more, but not beyond a hundredth of it.

        Raises:
            SpaceError: It is not a number, or not in the range or off the step.
        """
        number: Any = value if type(value) is float else _as_float(value)
        if type(number) is float:
            if self._steps is None:
                if self.low <= number <= self.high:
                    return number + 0.0  # never -0.0
            else:
                step = self._steps.find(number)
                if step is not None:
                    return step
        raise SpaceError(f"{_shown(value)} is not {self}")

    def nearest(self, number: float) -> float:
        """Return the value nearest to a number that an engine has computed, which is not NaN."""
        if self._steps is not None:
            return self._steps.nearest(float(number))
        return min(max(float(number), self.low), self.high) + 0.0

    def sample(self, rng: random.Random) -> float:
        """Draw a value: uniform, uniform in the logarithm, or uniform over the steps."""
        low, high = self.low, self.high
        if self._steps is not None:
            return self._steps[rng.randint(0, len(self._steps) - 1)]
        if self.log:
            drawn = (
                low + _log_offset(low, high - low, rng)
                if high < 2 * low
                else _log_drawn(low, high, rng)
            )
        elif high - low < math.inf:
            drawn = rng.uniform(low, high)
        else:
            drawn = 2 * rng.uniform(low / 2, high / 2)  # The range is wider than any float.
        return min(max(drawn, low), high)

    def values(self) -> Sequence[float] | None:
        """Every value in order if there are finitely many (``step``, or ``low == high``).

        They are computed when they are looked at, so that any number of them costs nothing.
        """
        return (self.low,) if self.low == self.high else self._steps

    def size(self) -> int | None:
        """How many values there are, None for infinitely many."""
        values = self.values()
        return None if values is None else len(values)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; :func:`from_dict` reads it back."""
        return {"type": "float", **_range(self)}

    def __str__(self) -> str:
        return f"a float from {self.low!r} to {self.high!r}{_suffix(self.log, self.step)}"


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number in ``[low, high]``, both ends included, of any size that a float reaches.

    Args:
        low: Lower bound.
        high: Upper bound, not below ``low``.
        log: Search on a logarithmic scale; needs ``low >= 1`` and excludes a ``step`` above 1.
        step: Distance between allowed values, counted from ``low``; must divide the range.
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        if not type(self.low) is type(self.high) is type(self.step) is int:
            for name in ("low", "high", "step"):
                object.__setattr__(self, name, plain(getattr(self, name)))
        if type(self.log) is not bool:
            object.__setattr__(self, "log", plain(self.log))

    def check(self) -> None:
        """Raise :class:`SpaceError` if no search could use these bounds."""
        _check_bounds(self.low, self.high, (int,), "whole number")
        _check_log(self)
        if type(self.step) is not int or self.step < 1:
            raise SpaceError(f"step is {self.step!r}, expected a whole number of at least 1")
        if self.log and self.step != 1:
            raise SpaceError("log and a step above 1 exclude each other; drop one of them")
        if (self.high - self.low) % self.step:
            reach = self.high - (self.high - self.low) % self.step
            raise SpaceError(
                f"step {_number(self.step)} does not divide the range {self.low} to {self.high}; "
                f"the last value would be {reach}, so write high={reach}"
            )

    def validate(self, value: object) -> int:
        """Return ``value`` as a plain int if it is one of this parameter's values.

        Raises:
            SpaceError: It is not an int (a bool and a float are not), out of range or off the step.
        """
        number: Any = value if type(value) is int else plain(value)
        if (
            type(number) is int
            and self.low <= number <= self.high
            and (number - self.low) % self.step == 0
        ):
            return number
        raise SpaceError(f"{_shown(value)} is not {self}")

    def nearest(self, number: float) -> int:
        """Return the value nearest to a number that an engine has computed, which is not NaN."""
        inside = min(max(number, self.low), self.high)
        return self.low + round((inside - self.low) / self.step) * self.step

    def sample(self, rng: random.Random) -> int:
        """Draw a value: uniform over the steps, or log-uniform over the integers' unit cells."""
        low, high = self.low, self.high
        if not self.log:
            return low + self.step * rng.randint(0, (high - low) // self.step)
        # Each integer k owns the cell [k - 1/2, k + 1/2], so that the two ends get their share.
        if high < 2 * low:
            drawn = low + round(_log_offset(low - 0.5, high - low + 1, rng) - 0.5)
        else:
            drawn = round(_log_drawn(low - 0.5, high + 0.5, rng))
        return min(max(drawn, low), high)

    def values(self) -> Sequence[int]:
        """Every value in order: a range, of which ``len`` fails beyond ``sys.maxsize``."""
        return range(self.low, self.high + 1, self.step)

    def size(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; :func:`from_dict` reads it back."""
        return {"type": "int", **_range(self)}

    def __str__(self) -> str:
        step = self.step if self.step != 1 else None
        return f"an int from {self.low!r} to {self.high!r}{_suffix(self.log, step)}"


@dataclass(frozen=True, slots=True, eq=False)
class Categorical:
    """One of finitely many choices, in no order.

    Two are equal if their choices are, in value and in type: 0, 0.0 and False are three choices.

    Args:
        choices: At least one of None, bool, int, float and str, or NumPy's; no two equal in
            Python, as 1 and True are. For anything else give the choices names and look the
            objects up in the objective. A set is refused: its order differs from run to run.
    """

    choices: tuple[Choice, ...]
    _known: Mapping[tuple[type, Choice], Choice] = field(init=False, repr=False)

    def __init__(self, choices: Iterable[Choice]) -> None:
        if isinstance(choices, str | bytes):
            raise SpaceError(f"choices is the text {choices!r}, expected a list of choices")
        if isinstance(choices, set | frozenset):
            raise SpaceError(
                f"choices is the set {choices!r}, whose order differs from run to run; give a list"
            )
        try:
            given = tuple(choices)
        except TypeError:
            raise SpaceError(f"choices is {choices!r}, expected a list of choices") from None
        kinds = set(map(type, given))
        if float in kinds or not kinds <= _SCALARS:
            given = tuple(map(_as_choice, given))
            kinds = set(map(type, given))
        scalars = given if kinds <= _SCALARS else [c for c in given if type(c) in _SCALARS]
        known = {(type(choice), choice): choice for choice in scalars}
        object.__setattr__(self, "choices", given)
        object.__setattr__(self, "_known", known)

    def check(self) -> None:
        """Raise :class:`SpaceError` if no search could use these choices."""
        if not self.choices:
            raise SpaceError("choices is empty, expected at least one")
        twins: dict[Choice, Choice] = {}
        for choice in self.choices:
            if type(choice) not in _SCALARS:
                raise SpaceError(
                    f"choice {_shown(choice)} is not None, bool, int, float or str; give the "
                    "choice a name and look the object up in the objective"
                )
            if type(choice) in (int, float) and not _is_finite(choice):
                raise SpaceError(f"choice {_number(choice)} is not finite or beyond any float")
            if choice in twins:
                raise SpaceError(
                    f"choices {twins[choice]!r} and {choice!r} are equal in Python, and engines "
                    "mix them up; drop one of them"
                )
            twins[choice] = choice

    def validate(self, value: object) -> Choice:
        """Return the choice that equals ``value`` and has its type.

        Raises:
            SpaceError: There is none.
        """
        known: Mapping[Any, Choice] = self._known
        try:
            return known[type(value), value]
        except (KeyError, TypeError):  # unknown, or nothing that could be a key
            own = plain(value)
        if type(own) in _SCALARS and (type(own), own) in known:
            return known[type(own), own]
        raise SpaceError(f"{_shown(value)} is not {self}")

    def sample(self, rng: random.Random) -> Choice:
        """Draw a choice, each as likely as the next."""
        return self.choices[rng.randrange(len(self.choices))]

    def values(self) -> Sequence[Choice]:
        """Every choice, in the order given."""
        return self.choices

    def size(self) -> int:
        """How many choices there are."""
        return len(self.choices)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; :func:`from_dict` reads it back."""
        return {"type": "categorical", "choices": list(self.choices)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Categorical):
            return NotImplemented
        return self.choices == other.choices and self._known.keys() == other._known.keys()

    def __hash__(self) -> int:
        return hash(tuple(self._known))

    def __reduce__(self) -> tuple[Any, ...]:
        return Categorical, (self.choices,)

    def __str__(self) -> str:
        shown = ", ".join(repr(choice) for choice in self.choices[:_MOST_SHOWN])
        more = len(self.choices) > _MOST_SHOWN
        return f"one of {shown}{f', ... ({len(self.choices)} choices)' if more else ''}"


@dataclass(frozen=True, slots=True, eq=False)
class Native:
    """A parameter in one engine's own words, where no portable kind says exactly the same.

    Only a backend with the capability ``dialect`` of that name searches it; any other refuses.

    Args:
        dialect: The dialect that reads and writes it, such as ``"wandb"``.
        definition: What it is there, as JSON.
        support: The portable kind that says which values it can have, if not how likely.
    """

    dialect: str
    definition: Mapping[str, Any]
    support: Float | Int | Categorical

    def check(self) -> None:
        """Raise :class:`SpaceError` if no search could use it."""
        try:
            json.dumps(self.definition, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SpaceError(f"{self.definition!r} is not JSON: {error}") from None
        self.support.check()

    def validate(self, value: object) -> Choice:
        """Return ``value`` as a plain Python one if the support has it.

        Raises:
            SpaceError: It does not.
        """
        return self.support.validate(value)

    def sample(self, rng: random.Random) -> Choice:
        """Refuse: only the engine knows how likely each value is.

        Raises:
            SpaceError: Always.
        """
        raise SpaceError(f"only {self.dialect} can draw {self}")

    def values(self) -> Sequence[Choice] | None:
        """Every value in order if there are finitely many."""
        return self.support.values()

    def size(self) -> int | None:
        """How many values there are, None for infinitely many."""
        return self.support.size()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; :func:`from_dict` reads it back."""
        return {
            "type": "native",
            "dialect": self.dialect,
            "definition": dict(self.definition),
            "support": self.support.to_dict(),
        }

    def _key(self) -> tuple[object, ...]:
        # As text, in which 1, 1.0 and True differ, as they do to the engines.
        text = json.dumps(self.definition, sort_keys=True, default=repr)
        return self.dialect, text, self.support

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Native) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __str__(self) -> str:
        return f"{json.dumps(self.definition)} in the words of {self.dialect}"


Distribution: TypeAlias = Float | Int | Categorical | Native


def from_dict(data: Mapping[str, Any]) -> Distribution:
    """Read the JSON form of a distribution.

    Raises:
        SpaceError: The data is no distribution of this version.
    """
    fields = dict(data)
    kind = fields.pop("type", None)
    classes: dict[Any, Any] = {
        "float": Float,
        "int": Int,
        "categorical": Categorical,
        "native": Native,
    }
    try:
        if kind == "native":
            fields["support"] = from_dict(fields["support"])
        distribution: Distribution = classes[kind](**fields)
    except (KeyError, TypeError) as error:
        raise SpaceError(f"{dict(data)!r} is not the JSON form of a parameter") from error
    return distribution


def canonical(
    params: Mapping[str, Any], distributions: Mapping[str, Distribution]
) -> dict[str, Any]:
    """Return each value in the one form that its distribution has for it, any other as it is."""
    return {
        name: canonical_value(value, distributions[name]) if name in distributions else value
        for name, value in params.items()
    }


def canonical_value(value: Any, distribution: Distribution) -> Any:
    """Return the one form that a distribution has for a value, any other value as it is."""
    try:
        return distribution.validate(value)
    except SpaceError:
        return value


def plain(value: Any) -> Any:
    """Return a NumPy number, flag, text or 0-d array as Python's own; anything else as it is.

    The same for the scalars of other array libraries. None of them is imported for it. A float of
    NumPy's with fewer than 64 bits becomes the decimal that NumPy prints, which is what its user
    wrote: 0.1 for ``numpy.float32(0.1)``, and not 0.10000000149011612.
    """
    if type(value) in _SCALARS or getattr(value, "shape", None) != ():
        return value
    dtype: Any = getattr(value, "dtype", None)
    if getattr(dtype, "kind", None) != "f":
        return value.item()
    return float(str(value)) if dtype.itemsize < 8 else float(value)


def check_exact(distribution: Distribution, engine: str) -> None:
    """Check that an engine which computes in floats can draw every value of a parameter.

    Args:
        distribution: Of the parameter, which the caller names.
        engine: The engine's name, for the message.

    Raises:
        SpaceError: It is an Int with bounds beyond 2**53, or a Float whose range is wider than any
            float or narrower than those of full precision.
    """
    support = distribution.support if isinstance(distribution, Native) else distribution
    if isinstance(support, Categorical) or support.size() == 1:
        return
    if isinstance(support, Int):
        if max(abs(support.low), abs(support.high)) > LARGEST_EXACT:
            raise SpaceError(
                f"{support} is beyond {engine}, which computes in floats and has every whole "
                "number up to 2**53 only"
            )
    elif (
        distribution is support and not sys.float_info.min <= support.high - support.low < math.inf
    ):
        raise SpaceError(
            f"{support} is beyond {engine}, which computes in floats and cannot express how wide "
            "that range is"
        )


def _as_float(value: Any) -> Any:
    """Return a number as a plain float, anything else and an int beyond any float as it is."""
    value = plain(value)
    if type(value) is int:
        return float(value) if _is_finite(value) else value
    return float(value) + 0.0 if type(value) is float else value


def _as_choice(value: Any) -> Any:
    value = plain(value)
    return value + 0.0 if type(value) is float else value  # never -0.0


def _log_drawn(low: float, high: float, rng: random.Random) -> float:
    """Draw uniformly in the logarithm."""
    top = math.log(high)
    return math.exp(min(rng.uniform(math.log(low), top), top))


def _log_offset(low: float, width: float, rng: random.Random) -> float:
    """Draw uniformly in the logarithm from a narrow range; return how far from its lower end.

    Logarithms of neighbours are equal, and this way every number of the range is reached.
    """
    return low * math.expm1(rng.random() * math.log1p(width / low))


def _check_bounds(low: float, high: float, types: tuple[type, ...], expected: str) -> None:
    for side, bound in (("low", low), ("high", high)):
        if isinstance(bound, bool) or not isinstance(bound, types):
            raise SpaceError(f"{side} is {_shown(bound)}, expected a {expected}")
        if not _is_finite(bound):
            raise SpaceError(
                f"{side} is {_number(bound)}, expected a finite {expected}, at most "
                f"{_LARGEST:.3g} in size"
            )
    if low > high:
        raise SpaceError(f"low {low!r} is above high {high!r}; swap them")


def _check_log(distribution: Float | Int) -> None:
    if not isinstance(distribution.log, bool):
        raise SpaceError(f"log is {distribution.log!r}, expected True or False")
    if distribution.log and distribution.low <= 0:
        raise SpaceError(f"log=True needs low above 0, and low is {distribution.low!r}")


def _range(item: Float | Int) -> dict[str, Any]:
    return {"low": item.low, "high": item.high, "log": item.log, "step": item.step}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    """Whether a number is finite as a float, which an int need not be."""
    return bool(-_LARGEST <= value <= _LARGEST)


def _number(value: object) -> str:
    """Return a number as a message has it; Python refuses to print the longest ints."""
    if type(value) is int and not _is_finite(value):
        return f"{'-' if value < 0 else ''}10**{math.log10(abs(value)):.6g}"
    return repr(value)


def _shown(value: object) -> str:
    return f"{_number(value)} ({type(value).__name__})"


def _suffix(log: bool, step: float | None) -> str:
    return (" on a log scale" if log else "") + (f" in steps of {step!r}" if step else "")
