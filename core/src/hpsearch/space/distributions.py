"""The three kinds of parameter: :class:`Float`, :class:`Int` and :class:`Categorical`.

They are plain immutable records that mean the same on every backend. They carry no name, so they
are checked where their name is known: when a :class:`~hpsearch.space.space.Space` is built or a
trial suggests. What one engine can say and the three cannot is kept in its own words, in a
:class:`Native`, which only that engine searches.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeAlias

from hpsearch.errors import SpaceError

Choice: TypeAlias = "bool | int | float | str | None"
"""What a categorical parameter can be: a JSON scalar."""

_STEP_TOLERANCE = 1e-8
"""How far, relative to the number of steps, a float may lie off its grid."""


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in ``[low, high]``, both ends included.

    Args:
        low: Lower bound, finite.
        high: Upper bound, finite, not below ``low``.
        log: Search on a logarithmic scale; needs ``low > 0`` and excludes ``step``.
        step: Distance between allowed values, counted from ``low``; must divide the range.
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            if type(getattr(self, name)) is int:
                object.__setattr__(self, name, float(getattr(self, name)))

    def check(self) -> None:
        """Raise :class:`SpaceError` if no search could use these bounds."""
        _check_bounds(self.low, self.high, (int, float), "number")
        _check_log(self)
        if self.step is None:
            return
        if self.log:
            raise SpaceError("log and step exclude each other for a Float; drop one of them")
        if not _is_number(self.step) or not math.isfinite(self.step) or self.step <= 0:
            raise SpaceError(f"step is {self.step!r}, expected a finite number above 0")
        if not self._on_grid(self.high):
            steps = (self.high - self.low) / self.step
            reach = self.low + math.floor(steps) * self.step
            raise SpaceError(
                f"step {self.step!r} does not divide the range {self.low!r} to {self.high!r}; "
                f"the last value would be {reach:.12g}, so write high={reach:.12g}"
            )

    def validate(self, value: object) -> float:
        """Return ``value`` as a plain float if it is one of this parameter's values.

        Raises:
            SpaceError: It is no float, or not in the range or off the step.
        """
        if isinstance(value, float) or (type(value) is int):
            number = float(value)
            if self.low <= number <= self.high and self._on_grid(number):
                return number
        raise SpaceError(f"{_shown(value)} is not {self}")

    def _on_grid(self, number: float) -> bool:
        if self.step is None:
            return True
        steps = (number - self.low) / self.step
        # ``low + k * step`` is rounded twice: relative to the step, and to the bounds' size.
        rounding = sys.float_info.epsilon * max(abs(self.low), abs(self.high)) / self.step
        return abs(steps - round(steps)) <= _STEP_TOLERANCE * max(1.0, steps) + 4 * rounding

    def sample(self, rng: random.Random) -> float:
        """Draw a value: uniform, uniform in the logarithm, or uniform over the steps."""
        if self.log:
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        elif self.step is not None:
            drawn = self.low + self.step * rng.randint(0, round((self.high - self.low) / self.step))
        else:
            drawn = rng.uniform(self.low, self.high)
        return min(max(drawn, self.low), self.high)

    def values(self) -> Sequence[float] | None:
        """Every value in order if there are finitely many (``step``, or ``low == high``)."""
        if self.low == self.high:
            return [float(self.low)]
        if self.step is None:
            return None
        count = round((self.high - self.low) / self.step)
        return [min(self.low + index * self.step, self.high) for index in range(count + 1)]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; :func:`from_dict` reads it back."""
        return {
            "type": "float",
            "low": self.low,
            "high": self.high,
            "log": self.log,
            "step": self.step,
        }

    def __str__(self) -> str:
        return f"a float from {self.low!r} to {self.high!r}{_suffix(self.log, self.step)}"


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number in ``[low, high]``, both ends included.

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
                f"step {self.step} does not divide the range {self.low} to {self.high}; "
                f"the last value would be {reach}, so write high={reach}"
            )

    def validate(self, value: object) -> int:
        """Return ``value`` if it is one of this parameter's values.

        Raises:
            SpaceError: It is no int (a bool and a float are none), out of range or off the step.
        """
        if (
            type(value) is int
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        ):
            return value
        raise SpaceError(f"{_shown(value)} is not {self}")

    def sample(self, rng: random.Random) -> int:
        """Draw a value: uniform over the steps, or log-uniform over the integers' unit cells."""
        if not self.log:
            return self.low + self.step * rng.randint(0, (self.high - self.low) // self.step)
        # Each integer k owns the cell [k - 1/2, k + 1/2], so that the two ends get their share.
        drawn = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
        return min(max(round(drawn), self.low), self.high)

    def values(self) -> Sequence[int]:
        """Every value in order."""
        return range(self.low, self.high + 1, self.step)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; :func:`from_dict` reads it back."""
        return {
            "type": "int",
            "low": self.low,
            "high": self.high,
            "log": self.log,
            "step": self.step,
        }

    def __str__(self) -> str:
        step = self.step if self.step != 1 else None
        return f"an int from {self.low!r} to {self.high!r}{_suffix(self.log, step)}"


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of finitely many choices, in no order.

    Args:
        choices: At least one of None, bool, int, float and str; no two equal. For anything else
            give the choices names and look the objects up in the objective.
    """

    choices: tuple[Choice, ...]

    def __init__(self, choices: Iterable[Choice]) -> None:
        if isinstance(choices, str | bytes):
            raise SpaceError(f"choices is the text {choices!r}, expected a list of choices")
        object.__setattr__(self, "choices", tuple(choices))

    def check(self) -> None:
        """Raise :class:`SpaceError` if no search could use these choices."""
        if not self.choices:
            raise SpaceError("choices is empty, expected at least one")
        for index, choice in enumerate(self.choices):
            if choice is not None and type(choice) not in (bool, int, float, str):
                raise SpaceError(
                    f"choice {_shown(choice)} is not None, bool, int, float or str; give the "
                    "choice a name and look the object up in the objective"
                )
            if isinstance(choice, float) and not math.isfinite(choice):
                raise SpaceError(f"choice {choice!r} is not finite")
            if choice in self.choices[:index]:
                twin = self.choices[self.choices.index(choice)]
                raise SpaceError(f"choices {twin!r} and {choice!r} are equal; drop one of them")

    def validate(self, value: object) -> Choice:
        """Return the choice that equals ``value`` and has its type.

        Raises:
            SpaceError: There is none.
        """
        for choice in self.choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise SpaceError(f"{_shown(value)} is not {self}")

    def sample(self, rng: random.Random) -> Choice:
        """Draw a choice, each as likely as the next."""
        return self.choices[rng.randrange(len(self.choices))]

    def values(self) -> Sequence[Choice]:
        """Every choice, in the order given."""
        return self.choices

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; :func:`from_dict` reads it back."""
        return {"type": "categorical", "choices": list(self.choices)}

    def __str__(self) -> str:
        return f"one of {', '.join(repr(choice) for choice in self.choices)}"


@dataclass(frozen=True, slots=True)
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
            SpaceError: It has not.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; :func:`from_dict` reads it back."""
        return {
            "type": "native",
            "dialect": self.dialect,
            "definition": dict(self.definition),
            "support": self.support.to_dict(),
        }

    def __hash__(self) -> int:
        return hash((self.dialect, json.dumps(self.definition, sort_keys=True), self.support))

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


def _check_bounds(low: float, high: float, types: tuple[type, ...], expected: str) -> None:
    for side, bound in (("low", low), ("high", high)):
        if isinstance(bound, bool) or not isinstance(bound, types):
            raise SpaceError(f"{side} is {_shown(bound)}, expected a {expected}")
        if not math.isfinite(bound):
            raise SpaceError(f"{side} is {bound!r}, expected a finite {expected}")
    if low > high:
        raise SpaceError(f"low {low!r} is above high {high!r}; swap them")


def _check_log(distribution: Float | Int) -> None:
    if not isinstance(distribution.log, bool):
        raise SpaceError(f"log is {distribution.log!r}, expected True or False")
    if distribution.log and distribution.low <= 0:
        raise SpaceError(f"log=True needs low above 0, and low is {distribution.low!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return f"{value!r} ({type(value).__name__})"


def _suffix(log: bool, step: float | None) -> str:
    return (" on a log scale" if log else "") + (f" in steps of {step!r}" if step else "")
