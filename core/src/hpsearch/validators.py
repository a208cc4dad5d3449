"""Checks of plain arguments, so that the same mistake gets the same sentence everywhere.

Each takes the argument's name and its value, returns the value as a plain Python one, and raises
:class:`~hpsearch.errors.ArgumentError`, or the class given, if it is not of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex

from hpsearch.errors import ArgumentError, brief


def whole(
    name: str,
    value: object,
    least: int = 0,
    *,
    below: int | None = None,
    error: type[ArgumentError] = ArgumentError,
) -> int:
    """Return a whole number of at least ``least``, and below ``below`` if that is given.

    NumPy's integers are whole numbers; ``True`` and ``1.0`` are not.
    """
    if not isinstance(value, bool) and isinstance(value, SupportsIndex):
        number = value.__index__()
        if number >= least and (below is None or number < below):
            return number
    bound = "" if below is None else f" and below {below}"
    raise error(f"{name} is {brief(value)}, expected a whole number of at least {least}{bound}")


def optional_whole(
    name: str,
    value: object,
    least: int = 0,
    *,
    below: int | None = None,
    error: type[ArgumentError] = ArgumentError,
) -> int | None:
    """Return None for None, else a whole number as :func:`whole` does."""
    return None if value is None else whole(name, value, least, below=below, error=error)


def seconds(
    name: str, value: object, *, error: type[ArgumentError] = ArgumentError
) -> float | None:
    """Return a finite number of seconds above 0, or None for None."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and number > 0:
            return number
    raise error(f"{name} is {brief(value)}, expected a finite number of seconds above 0")


def flag(name: str, value: object, *, error: type[ArgumentError] = ArgumentError) -> bool:
    """Return True or False."""
    if isinstance(value, bool):
        return value
    raise error(f"{name} is {brief(value)}, expected True or False")


def text(name: str, value: object, *, error: type[ArgumentError] = ArgumentError) -> str:
    """Return a text that is not empty and can be written to a file as UTF-8."""
    if isinstance(value, str) and value:
        try:
            value.encode()
        except UnicodeEncodeError:
            pass
        else:
            return value
    raise error(f"{name} is {brief(value)}, expected a text that is not empty")


def mapping(
    name: str, value: object, *, error: type[ArgumentError] = ArgumentError
) -> dict[str, Any]:
    """Return a mapping of names to values as a dict."""
    if not isinstance(value, Mapping):
        raise error(f"{name} is {brief(value)}, expected a mapping of names to values")
    for key in value:
        if not isinstance(key, str):
            raise error(f"{name} has the key {brief(key)}, expected names as text")
    return dict(value)


def items(name: str, value: object, *, error: type[ArgumentError] = ArgumentError) -> list[Any]:
    """Return the items of a list, a tuple or another iterable; a text is none."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise error(f"{name} is {brief(value)}, expected a list")
    return list(value)
