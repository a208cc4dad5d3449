"""One parameter there and back: SigOpt's definition of it, and the values in either's terms."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch.errors import SpaceError
from hpsearch.space.distributions import (
    Categorical,
    Choice,
    Distribution,
    Float,
    Int,
    Native,
    check_exact,
)

DIALECT = "sigopt"
"""The dialect's name, which also stands in its ``Native`` parameters."""

_LONGEST_GRID = 1000
"""How many steps become a grid of values; more of them become a whole number of steps."""

_MOST_CHOICES = 1000
"""How many choices the optimiser has room for: it makes one dimension of each."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as SigOpt gets it, and the way of its values there and back.

    Attributes:
        definition: The entry of SigOpt's parameter list, without its name.
        decode: Turns SigOpt's value into the space's.
        encode: Turns the space's value into SigOpt's.
    """

    definition: dict[str, Any]
    decode: Callable[[Any], Choice]
    encode: Callable[[Any], Any]


def to_sigopt(name: str, distribution: Distribution) -> Parameter | None:
    """Return a parameter as SigOpt gets it; None for a single value, which SigOpt does not have.

    Raises:
        SpaceError: SigOpt has nothing for it.
    """
    if distribution.size() == 1:
        return None
    try:
        check_exact(distribution, "SigOpt")
    except SpaceError as error:
        raise SpaceError(f"parameter {name!r}: {error}") from None
    if isinstance(distribution, Native):
        definition = dict(distribution.definition)
        if "grid" in definition:
            return _grid(definition["grid"], definition)
        inner = to_sigopt(name, distribution.support)
        return inner and Parameter(definition, inner.decode, inner.encode)
    if isinstance(distribution, Categorical):
        if len(distribution.choices) > _MOST_CHOICES:
            raise SpaceError(
                f"parameter {name!r} has {len(distribution.choices)} choices, and SigOpt at most "
                f"{_MOST_CHOICES}; if they are in order, search their index as an Int"
            )
        return _categorical(distribution.choices)
    return _float(distribution) if isinstance(distribution, Float) else _int(distribution)


def _float(distribution: Float) -> Parameter:
    if distribution.step is not None:
        return _steps(distribution, "double")
    definition = _bounded("double", distribution.low, distribution.high)
    if distribution.log:
        definition["transformation"] = "log"
    # A power of ten may round beyond the bounds.
    return Parameter(definition, distribution.nearest, float)


def _int(distribution: Int) -> Parameter:
    low, high = distribution.low, distribution.high
    if distribution.log:
        return _log_int(low, high)
    if distribution.step != 1:
        return _steps(distribution, "int")
    return Parameter(_bounded("int", low, high), int, int)


def _log_int(low: int, high: int) -> Parameter:
    """A whole number on a log scale, which SigOpt has for doubles only.

    Each number owns the doubles within 1/2 of it, as where the core draws one.
    """

    def decode(value: float) -> int:
        return min(max(round(value), low), high)

    definition = {**_bounded("double", low - 0.5, high + 0.5), "transformation": "log"}
    return Parameter(definition, decode, float)


def _steps(distribution: Float | Int, kind: str) -> Parameter:
    values: Sequence[float] = distribution.values() or ()
    if len(values) <= _LONGEST_GRID:
        return _grid(list(values), {"type": kind, "grid": list(values)})

    def decode(value: Any) -> float:
        return values[int(value)]

    return Parameter(_bounded("int", 0, len(values) - 1), decode, values.index)


def _grid(values: Sequence[float], definition: dict[str, Any]) -> Parameter:
    def decode(value: Any) -> float:
        # Through a logarithm and back, a value is no longer the grid's to the last bit.
        return min(values, key=lambda known: abs(known - value))

    return Parameter(definition, decode, decode)


def _categorical(choices: Sequence[Choice]) -> Parameter:
    """A categorical parameter, whose values SigOpt knows as texts."""
    texts = [choice if isinstance(choice, str) else json.dumps(choice) for choice in choices]
    if max(Counter(texts).values()) > 1:  # such as 16 and "16"
        texts = [json.dumps(choice) for choice in choices]
    by_text = dict(zip(texts, choices, strict=True))

    by_choice = {(type(choice), choice): text for text, choice in by_text.items()}

    def encode(value: Any) -> str:
        return by_choice[type(value), value]

    definition = {"type": "categorical", "categorical_values": texts}
    return Parameter(definition, by_text.__getitem__, encode)


def _bounded(kind: str, low: float, high: float) -> dict[str, Any]:
    return {"type": kind, "bounds": {"min": low, "max": high}}
