"""A value as the declared type of its field of TrainingArguments, changed only without loss."""

from __future__ import annotations

import types
import typing
from dataclasses import fields
from enum import Enum
from functools import lru_cache
from typing import Any

from transformers import TrainingArguments

from hpsearch.errors import ArgumentError
from hpsearch.space.distributions import Distribution
from hpsearch.validators import is_finite


def check_distribution(args: TrainingArguments, name: str, distribution: Distribution) -> None:
    """Raise :class:`ArgumentError` unless every value of a parameter suits the field."""
    values = distribution.values()
    if values is None:
        kinds = _kinds(args, name)
        if float not in kinds and Any not in kinds:
            raise ArgumentError(
                f"{name!r} is declared as {_listed(kinds)} by {type(args).__name__}, and the space "
                f"has {distribution}{'; use Int(low, high)' if int in kinds else ''}"
            )
        return
    # Of evenly spaced numbers all are whole if the first two are.
    some = values if isinstance(values, tuple) else (*values[:2], values[-1])
    for value in some:
        typed(args, name, value)


def typed(args: TrainingArguments, name: str, value: Any) -> Any:
    """Return a value as the field's declared type, changed only where nothing is lost.

    A whole float becomes an int for an int field; digits in a text, as categorical parameters of
    SigOpt have them, become a number. ``"False"`` is not a bool, and 2.5 is not a number of steps.

    Raises:
        ArgumentError: The value is not of that type.
    """
    kinds = _kinds(args, name)
    for kind in kinds:
        if kind is Any:
            return value
        found = _as(kind, value)
        if found is not _NOT:
            return found
    raise ArgumentError(
        f"{name!r} is {value!r}, and {type(args).__name__} declares it as {_listed(kinds)}"
    )


_NOT = object()


def _as(kind: Any, value: Any) -> Any:
    """Return ``value`` as ``kind``, or ``_NOT``."""
    if typing.get_origin(kind) is typing.Literal:
        return value if value in typing.get_args(kind) else _NOT
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value if isinstance(value, kind) or value in [k.value for k in kind] else _NOT
    if kind is bool:
        return value if isinstance(value, bool) else _NOT
    if kind in (int, float):
        return _as_number(kind, value)
    container = typing.get_origin(kind) or kind
    return value if isinstance(container, type) and isinstance(value, container) else _NOT


def _as_number(kind: type, value: Any) -> Any:
    if isinstance(value, bool):
        return _NOT
    if isinstance(value, str):
        try:
            value = int(value) if kind is int else float(value)
        except ValueError:
            return _NOT
    if not isinstance(value, int | float) or not is_finite(value):
        return _NOT
    if kind is float or isinstance(value, int):
        return value
    return int(value) if value.is_integer() else _NOT


def _kinds(args: TrainingArguments, name: str) -> tuple[Any, ...]:
    """Return the types that a field is declared with, the narrowest first."""
    cls: Any = type(args)
    return _kinds_of(cls)[name]


@lru_cache(maxsize=16)
def _kinds_of(cls: type[Any]) -> dict[str, tuple[Any, ...]]:
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        try:
            hints.update(typing.get_type_hints(base))
        except NameError:  # a type that only its author's type checker sees: any value passes
            hints.update(dict.fromkeys(vars(base).get("__annotations__", {}), Any))
    return {field.name: _flat(hints[field.name]) for field in fields(cls)}


def _flat(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return (hint,)
    kinds = [kind for part in typing.get_args(hint) for kind in _flat(part)]
    # SchedulerType | str: the text is there for the enumeration's values, and no other text is one.
    if any(isinstance(kind, type) and issubclass(kind, Enum) for kind in kinds):
        kinds = [kind for kind in kinds if kind is not str]
    # int before text, and bool before int, so that a value meets its narrowest type first.
    return tuple(sorted(kinds, key=lambda kind: (kind is str, kind is not bool)))


def _listed(kinds: tuple[Any, ...]) -> str:
    return " or ".join(
        f"one of {', '.join(repr(item.value) for item in kind)}"
        if isinstance(kind, type) and issubclass(kind, Enum)
        else "None"
        if kind is type(None)
        else getattr(kind, "__name__", str(kind))
        for kind in kinds
    )
