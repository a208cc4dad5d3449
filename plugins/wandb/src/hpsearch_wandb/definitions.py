"""What one parameter of a sweep config says: its distribution and its numbers, checked.

The distributions are those of W&B's sweep schema (``sweeps`` 0.3.0, ``config/schema.json``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hpsearch.errors import SpaceError, listed, nearest
from hpsearch.space.steps import multiple
from hpsearch.validators import is_number, number

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
    "int_uniform": ("min", "max"),
    "uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "log_uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "q_log_uniform": ("min", "max", "q"),
    "q_log_uniform_values": ("min", "max", "q"),
    "inv_log_uniform": ("min", "max"),
    "inv_log_uniform_values": ("min", "max"),
    "normal": ("mu", "sigma"),
    "q_normal": ("mu", "sigma", "q"),
    "log_normal": ("mu", "sigma"),
    "q_log_normal": ("mu", "sigma", "q"),
    "beta": ("a", "b"),
    "q_beta": ("a", "b", "q"),
}
"""The keys of each distribution, apart from ``"distribution"`` itself."""

DEFAULTS: Final[Mapping[str, float]] = {"q": 1.0, "mu": 0.0, "sigma": 1.0, "a": 1, "b": 1}
"""The values of keys that may be left out. A ``q`` that is an int gives ints, any other floats."""

_ABOVE_ZERO = ("q", "sigma", "a", "b")
_FINITE_SIGMAS = 40
"""How many sigmas from the mean a value can be drawn, generously."""


def checked(definition: object) -> dict[str, Any]:
    """Return a definition with its distribution named and every number given.

    Raises:
        SpaceError: It is none of W&B's.
    """
    if not isinstance(definition, Mapping):
        raise SpaceError(f"{definition!r} is not a mapping such as {{'min': 0.0, 'max': 1.0}}")
    kind = definition["distribution"] if "distribution" in definition else _inferred(definition)
    if kind not in KEYS:
        raise SpaceError(
            f"distribution {kind!r} is none of W&B's.{nearest(str(kind), KEYS)} "
            f"They are {listed(KEYS)}"
        )
    known = KEYS[kind]
    for key in definition:
        if key != "distribution" and key not in known:
            raise SpaceError(
                f"distribution {kind!r} has no {key!r}.{nearest(str(key), known)} "
                f"It has {listed(known)}"
            )
    full = {"distribution": kind}
    for key in known:
        if key not in definition and key not in DEFAULTS:
            raise SpaceError(f"distribution {kind!r} needs {key!r}, which is missing")
        full[key] = definition.get(key, DEFAULTS.get(key))
    _check_values(full)
    _check_numbers(full)
    return full


def quantized(value: float, q: float) -> float:
    """Return the multiple of ``q`` nearest to a value: an int if ``q`` is one, else a float.

    A float is the decimal that is meant: 0.3 and not 0.30000000000000004.
    """
    steps = round(value / q)
    return steps * q if isinstance(q, int) else multiple(steps, q)


def exponents(definition: Mapping[str, Any]) -> tuple[float, float]:
    """Return the bounds of the logarithm of a (q_)log_uniform(_values)."""
    low, high = definition["min"], definition["max"]
    if definition["distribution"].endswith("_values"):
        return math.log(low), math.log(high)
    return low, high


def _inferred(definition: Mapping[str, Any]) -> str:
    """Return the distribution that W&B takes where none is named."""
    keys = set(definition)
    if "value" in keys:
        return "constant"
    if "probabilities" in keys:
        return "categorical_w_probabilities"
    if "values" in keys:
        return "categorical"
    if keys == {"min", "max"}:
        whole = all(type(definition[key]) is int for key in keys)
        return "int_uniform" if whole else "uniform"
    known = sorted({key for names in KEYS.values() for key in names} | {"distribution"})
    misspelt = next((key for key in definition if key not in known), "")
    raise SpaceError(
        f"{dict(definition)!r} names no distribution, and W&B takes none for "
        f"{listed(definition)}.{nearest(str(misspelt), known)} Add 'distribution', one of "
        f"{listed(KEYS)}"
    )


def _check_values(definition: Mapping[str, Any]) -> None:
    if "values" not in definition:
        return
    values, probabilities = definition["values"], definition.get("probabilities")
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise SpaceError(f"'values' is {values!r}, expected a list of at least one")
    if probabilities is None:
        return
    if not isinstance(probabilities, Sequence) or not all(map(is_number, probabilities)):
        raise SpaceError(f"'probabilities' is {probabilities!r}, expected a list of numbers")
    if len(probabilities) != len(values):
        raise SpaceError(f"{len(values)} 'values' have {len(probabilities)} 'probabilities'")
    if min(probabilities) < 0 or not math.isclose(sum(probabilities), 1.0, rel_tol=1e-5):
        raise SpaceError(f"'probabilities' is {probabilities!r}, expected shares that sum to 1")


def _check_numbers(definition: Mapping[str, Any]) -> None:
    kind = definition["distribution"]
    for key in KEYS[kind]:
        if key in ("value", "values", "probabilities"):
            continue
        value = definition[key]
        above = 0 if key in _ABOVE_ZERO else -math.inf
        number(repr(key), value, above=above, error=SpaceError)
        if kind == "int_uniform" and type(value) is not int:
            raise SpaceError(f"{key!r} is {value!r}, expected a whole number for int_uniform")
    if "min" in definition:
        _check_bounds(kind, definition["min"], definition["max"])
    if "mu" in definition:
        reach = abs(definition["mu"]) + _FINITE_SIGMAS * definition["sigma"]
        if reach > (700 if "log" in kind else 1e300):
            raise SpaceError(f"'mu' and 'sigma' of {kind} reach {reach:g}, beyond any float")


def _check_bounds(kind: str, low: float, high: float) -> None:
    if low >= high:
        raise SpaceError(f"'min' {low!r} is not below 'max' {high!r}")
    if kind.endswith("log_uniform_values") and low <= 0:
        raise SpaceError(f"'min' is {low!r}, expected a number above 0 on a logarithmic scale")
    if kind.endswith("log_uniform") and max(abs(low), abs(high)) > 700:
        raise SpaceError(
            f"'min' and 'max' of {kind} are exponents of e, and {low!r} to {high!r} is beyond any "
            f"float; for the values themselves use {kind + '_values'!r}"
        )
