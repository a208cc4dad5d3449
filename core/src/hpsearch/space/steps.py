"""The values of a Float with a step: the decimals that a person means by it.

In binary 3 * 0.1 is 0.30000000000000004. So the steps are counted in whole numbers, and each value
is rounded once: it is the float nearest to the decimal, which prints as the decimal.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, overload

_FINEST: Final = 8
"""The smallest step, in the distance between the floats near the bounds: those round too."""


class Steps(Sequence[float]):
    """Evenly spaced floats, computed when they are looked at.

    Args:
        first: The first value, exactly.
        width: How far one is from the next, exactly.
        last: The number of the last one, counted from 0.

    Attributes:
        low: The first value.
        high: The last value.
        step: The distance, as the nearest float.
    """

    __slots__ = ("_first", "_last", "_tolerance", "_unit", "_width", "high", "low", "step")

    def __init__(self, first: Fraction, width: Fraction, last: int) -> None:
        self._unit = math.lcm(first.denominator, width.denominator)
        self._first = int(first * self._unit)
        self._width = int(width * self._unit)
        self._last = last
        self.low, self.high, self.step = self._value(0), self._value(last), float(width)
        self._tolerance = _tolerance(self.low, self.high, self.step)

    def _value(self, number: int) -> float:
        # Python rounds a quotient of ints correctly, however large they are.
        return (self._first + number * self._width) / self._unit

    def position(self, number: float) -> int:
        """Return which value, counted from 0, is nearest to a number, which is not NaN."""
        inside = min(max(number, self.low), self.high)
        try:
            guess = round((inside - self.low) / self.step)
        except OverflowError:  # The range is wider than any float.
            guess = -1
        if 0 <= guess <= self._last and self._value(guess) == inside:
            return guess
        top, bottom = inside.as_integer_ratio()
        double = 2 * self._width * bottom
        exact = (2 * (top * self._unit - self._first * bottom) + self._width * bottom) // double
        return min(max(exact, 0), self._last)

    def nearest(self, number: float) -> float:
        """Return the value nearest to a number, which is not NaN."""
        return self._value(self.position(number))

    def find(self, number: float) -> float | None:
        """Return the value that a number stands for up to rounding, None if there is none."""
        if math.isnan(number):
            return None
        value = self._value(self.position(number))
        return value if abs(number - value) <= self._tolerance else None

    def __len__(self) -> int:
        return self._last + 1

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        numbers = range(self._last + 1)[index]
        if isinstance(numbers, int):
            return self._value(numbers)
        return tuple(map(self._value, numbers))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and value == self.nearest(float(value))

    def index(self, value: Any, start: int = 0, stop: int = sys.maxsize) -> int:
        """Return the number of a value, counted from 0.

        Raises:
            ValueError: It is not one of the values, or its number is not in the range given.
        """
        if value in self and (found := self.position(value)) in range(len(self))[start:stop]:
            return found
        raise ValueError(f"{value!r} is not one of the steps")

    def __repr__(self) -> str:
        return f"<{len(self)} steps of {self.step!r} from {self.low!r} to {self.high!r}>"


@lru_cache(maxsize=1024)
def grid_of(low: float, high: float, step: float) -> Steps | None:
    """Return the steps between two bounds, None where the step does not divide the range.

    Bounds and step count as decimals. Where a step has as many digits as a binary number, as 1/3
    has, no decimal was meant, and the range is divided evenly.

    Args:
        low: Lower bound, finite.
        high: Upper bound, finite, not below ``low``.
        step: Above 0. None is returned for one that is too fine, too.
    """
    if too_fine(low, high, step):
        return None
    start, end, width = decimal(low), decimal(high), decimal(step)
    count = round((end - start) / width)
    if abs(start + count * width - end) > _tolerance(low, high, step):
        return None
    if count and float(f"{step:.15g}") != step:
        width = decimal(float((end - start) / count))
        if float(f"{float(width):.15g}") != float(width):
            width = (end - start) / count
    return Steps(start, width, count)


def last_step(low: float, high: float, step: float) -> float:
    """Return the last value that is not above ``high``."""
    start, end, width = decimal(low), decimal(high), decimal(step)
    return float(start + (end - start) // width * width)


def multiple(number: int, step: float) -> float:
    """Return so many times a step, as a decimal: 3 times 0.1 is 0.3."""
    return float(number * decimal(step))


def too_fine(low: float, high: float, step: float) -> bool:
    """Whether a step is too small for the floats between two bounds to keep the values apart."""
    return step < _FINEST * math.ulp(max(abs(low), abs(high)))


@lru_cache(maxsize=1024)
def decimal(number: float) -> Fraction:
    """Return the decimal that a float stands for: 0.1 + 0.2 stands for 0.3."""
    short = float(f"{number:.12g}")
    return Fraction(repr(short if abs(short - number) <= 4 * math.ulp(number) else number))


def _tolerance(low: float, high: float, step: float) -> float:
    """Return how far a number may be from the step that it stands for.

    That is the rounding of 32-bit floats where a hundredth of the step is more, else a millionth of
    the step; and always what computing in 64-bit floats costs.
    """
    reach = max(abs(low), abs(high))
    return max(1e-6 * step, min(1e-7 * reach, 0.01 * step), 4 * math.ulp(reach))
