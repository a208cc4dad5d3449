"""Checks of plain arguments, so that the same mistake gets the same sentence everywhere.

Each takes the argument's name and its value, returns the value as a plain Python one, and raises
:class:`~hpsearch.errors.ArgumentError`, or the class given, if it is not of its kind.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, SupportsIndex, TypeGuard, TypeVar

from hpsearch.errors import ArgumentError, HpsearchError, OptionError, brief, listed, nearest

Word = TypeVar("Word", bound=str)


def check_options(
    options: Any, check: Callable[..., Any], *names: str, label: str = "", **bounds: object
) -> None:
    """Check fields of a dataclass of options, frozen or not, and keep what the check returns.

    For ``__post_init__``. A field that is None stays None if that is its default.

    Args:
        options: The dataclass.
        check: One of the checks of this module.
        names: The fields.
        label: What stands before a field's name in an error.
        bounds: What else the check takes.

    Raises:
        OptionError: A field has a value that it cannot have.
    """
    defaults = {field.name: field.default for field in fields(options)}
    for name in names:
        value = getattr(options, name)
        if value is not None or defaults[name] is not None:
            checked = check(f"{label}{name}", value, error=OptionError, **bounds)
            object.__setattr__(options, name, checked)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number, NumPy's, NaN and infinities among them; a flag is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether it is a real number that a float can hold, which not every int is; no NaN."""
    return is_number(value) and abs(value) <= sys.float_info.max


def whole(
    name: str,
    value: object,
    least: int = 0,
    *,
    below: int | None = None,
    error: type[HpsearchError] = ArgumentError,
) -> int:
    """Return a whole number of at least ``least``, and below ``below`` if that is given.

    NumPy's integers are whole numbers; ``True`` and ``1.0`` are not.
    """
    number = _index(value)
    if number is not None and number >= least and (below is None or number < below):
        return number
    bound = "" if below is None else f" and below {below}"
    raise error(f"{name} is {brief(value)}, expected a whole number of at least {least}{bound}")


def optional_whole(
    name: str,
    value: object,
    least: int = 0,
    *,
    below: int | None = None,
    error: type[HpsearchError] = ArgumentError,
) -> int | None:
    """Return None for None, else a whole number as :func:`whole` does."""
    return None if value is None else whole(name, value, least, below=below, error=error)


def limit(
    name: str, value: object, least: int = 0, *, error: type[HpsearchError] = ArgumentError
) -> float:
    """Return a whole number of at least ``least``, or ``math.inf`` for no limit.

    A float without a fraction is taken too, since the type that holds ``math.inf`` is float.
    """
    if isinstance(value, float) and value == math.inf:
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return whole(name, value, least)
    except ArgumentError as refused:
        raise error(f"{refused} or inf") from None


def number(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    kind: str = "a finite number",
    error: type[HpsearchError] = ArgumentError,
) -> float:
    """Return a finite number that is at least ``least`` and above ``above``, an int as it is.

    The error calls it what ``kind`` says.
    """
    if is_finite(value) and value >= least and value > above:
        return int(value) if isinstance(value, Integral) else float(value)
    bound = f" of at least {least}" if least > -math.inf else ""
    bound += f" above {above}" if above > -math.inf else ""
    raise error(f"{name} is {brief(value)}, expected {kind}{bound}")


def seconds(
    name: str, value: object, *, error: type[HpsearchError] = ArgumentError
) -> float | None:
    """Return a finite number of seconds above 0, or None for None."""
    kind = "a finite number of seconds"
    return None if value is None else float(number(name, value, above=0, kind=kind, error=error))


def flag(name: str, value: object, *, error: type[HpsearchError] = ArgumentError) -> bool:
    """Return True or False."""
    if isinstance(value, bool):
        return value
    raise error(f"{name} is {brief(value)}, expected True or False")


def text(
    name: str, value: object, *, secret: bool = False, error: type[HpsearchError] = ArgumentError
) -> str:
    """Return a text that is not empty and can be written to a file as UTF-8.

    The error does not show the value where it may be a ``secret``.
    """
    if isinstance(value, str) and value.strip():
        try:
            value.encode()
        except UnicodeEncodeError:
            pass
        else:
            return value
    raise error(f"{name} is {_shown(value, secret)}, expected a text that is not empty")


def one_of(
    name: str,
    value: object,
    known: Iterable[Word],
    *,
    hint: str = "",
    error: type[HpsearchError] = ArgumentError,
) -> Word:
    """Return one of the words known; the error names the nearest, and adds the hint."""
    words = list(known)
    for word in words:
        if word == value:
            return word
    *most, last = map(repr, words)
    expected = f"{', '.join(most)} or {last}" if most else last
    meant = nearest(value, words) if isinstance(value, str) else ""
    raise error(f"{name} is {brief(value)}, expected {expected}{meant and '.'}{meant}{hint}")


def mapping(
    name: str,
    value: object,
    *,
    kind: str = "a mapping of names to values",
    secret: bool = False,
    error: type[HpsearchError] = ArgumentError,
) -> dict[str, Any]:
    """Return a mapping of names to values as a dict; the error calls it what ``kind`` says.

    The error does not show the value where it may hold a ``secret``.
    """
    if not isinstance(value, Mapping):
        raise error(f"{name} is {_shown(value, secret)}, expected {kind}")
    for key in value:
        if not isinstance(key, str):
            raise error(f"{name} has the key {brief(key)}, expected names as text")
    return dict(value)


def having(
    name: str,
    value: Any,
    *,
    attribute: str,
    example: str,
    error: type[HpsearchError] = ArgumentError,
) -> Any:
    """Return an object that has an attribute, by which an engine's own kind is known.

    A class is not an object here: whoever gives one forgot to call it.
    """
    if hasattr(value, attribute) and not isinstance(value, type):
        return value
    what = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
    raise error(f"{name} is {what}, expected an object such as {example}")


def known_keys(
    name: str,
    value: Iterable[object],
    known: Collection[str],
    *,
    error: type[HpsearchError] = ArgumentError,
) -> None:
    """Check that a mapping has none but known keys; the error names the nearest right one."""
    for key in value:
        if key not in known:
            raise error(f"{name} has no {key!r}.{nearest(str(key), known)} It has {listed(known)}")


def items(name: str, value: object, *, error: type[HpsearchError] = ArgumentError) -> list[Any]:
    """Return the items of a list, a tuple or another iterable; a text or a mapping is not one."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise error(f"{name} is {brief(value)}, expected a list")
    return list(value)


def texts(name: str, value: object, *, error: type[HpsearchError] = ArgumentError) -> list[str]:
    """Return the items of a list of texts."""
    listed = items(name, value, error=error)
    return [text(f"an item of {name}", item, error=error) for item in listed]


def json_data(text: str) -> Any:
    """Return the data of JSON text in which each key stands once and each number fits a float.

    Python's own reader keeps the last of equal keys, and takes ``1e999`` and ``NaN``.

    Raises:
        ValueError: The text is not such JSON.
    """
    return _decode(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {brief(twin)} is there twice")
    return found


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits:.20} is beyond any float")
    return number


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_float, parse_constant=_refuse_constant
).decode


def _index(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        return None
    try:
        return value.__index__()
    except TypeError:  # an array has the method too, whatever is in it
        return None


def _shown(value: object, secret: bool) -> str:
    return type(value).__name__ if secret else brief(value)
