"""One parameter of a sweep: read exactly, written exactly, and drawn as W&B draws it.

What Float, Int and Categorical say exactly is read into them; the rest stays in W&B's words.

- ``log_uniform`` and ``inv_log_uniform`` take exponents of e; both, and their ``_values`` forms,
  are log-uniform: the inverse of a log-uniform number is one.
- ``q_`` rounds to the nearest multiple of q, so a multiple has the share of the interval around
  it. The shares are equal, those of a Float or Int with steps, only if the bounds lie half way
  between two multiples; those of an Int on a log scale are the same with q = 1.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Hashable, Mapping
from typing import Any

from hpsearch.errors import SpaceError
from hpsearch.space.distributions import Categorical, Distribution, Float, Int, Native
from hpsearch.space.steps import decimal
from hpsearch_wandb.definitions import checked, exponents, quantized

DIALECT = "wandb"

_UNBOUNDED = sys.float_info.max
_WHOLE = 2**53
"""Up to here a float holds every whole number, and W&B computes in floats."""


def read(definition: object) -> Distribution:
    """Return what a parameter's definition says.

    Raises:
        SpaceError: It is none of W&B's, or its values are no choices.
    """
    full = checked(definition)
    kind = full["distribution"]
    if kind == "constant":
        return _choices([full["value"]])
    if "values" in full:
        return _categorical(full)
    exact = _uniform(kind, full) if "uniform" in kind and "q" not in full else _equal_shares(full)
    return Native(DIALECT, full, _support(full)) if exact is None else exact


def listing(definition: object) -> Distribution:
    """Return what a definition says to W&B's grid, which lists a ``q_uniform`` otherwise.

    It counts from ``min`` by ``q`` and leaves ``max`` out, as ``numpy.arange`` does.
    """
    full = checked(definition)
    if full["distribution"] != "q_uniform":
        return read(definition)
    low, q = full["min"], full["q"]
    last = low + (math.ceil((full["max"] - low) / q) - 1) * q
    whole = all(type(full[key]) is int for key in ("min", "max", "q"))
    return Int(low, last, step=q) if whole else Float(low, last, step=q)


def write(distribution: Distribution) -> dict[str, Any]:
    """Return the definition that says exactly this, so that it reads back equal.

    Raises:
        SpaceError: There is none.
    """
    if isinstance(distribution, Native):
        if distribution.dialect != DIALECT:
            raise SpaceError(f"{distribution} cannot be said to W&B")
        return dict(distribution.definition)
    definition = _definition(distribution)
    if definition is None or read(definition) != distribution:
        raise SpaceError(f"W&B has no distribution that is exactly {distribution}")
    return definition


def encode(distribution: Distribution, *, grid: bool = False) -> dict[str, Any]:
    """Return a definition that gives the same values equally often, if not in the same words.

    Args:
        distribution: The parameter.
        grid: Whether the sweep is a grid, which is then given every value.

    Raises:
        SpaceError: It has too many values to list, and W&B has no words for it or lists a grid.
    """
    size = distribution.size()
    try:
        if not grid or size is None:
            return write(distribution)
    except SpaceError:
        if size is None or size > MOST_VALUES:
            raise
    if size > MOST_VALUES and not isinstance(distribution, Categorical):
        raise SpaceError(f"{distribution} has more than {MOST_VALUES} values to list in a sweep")
    return {"values": list(distribution.values() or ())}


MOST_VALUES = 10_000
"""Up to here a parameter that W&B has no words for is listed."""


def draw(distribution: Distribution, rng: random.Random) -> Any:
    """Draw a value of any parameter, W&B's own kinds included."""
    if not isinstance(distribution, Native):
        return distribution.sample(rng)
    definition = distribution.definition
    kind: str = definition["distribution"]
    if "values" in definition:
        return rng.choices(definition["values"], definition.get("probabilities"))[0]
    if kind == "q_uniform":
        value = rng.uniform(definition["min"], definition["max"])
    elif kind.startswith("q_log_uniform"):
        value = math.exp(rng.uniform(*exponents(definition)))
    elif "mu" in definition:
        value = rng.normalvariate(definition["mu"], definition["sigma"])
        value = math.exp(value) if "log" in kind else value
    else:
        value = rng.betavariate(definition["a"], definition["b"])
    return quantized(value, definition["q"]) if "q" in definition else value


def _definition(distribution: Float | Int | Categorical) -> dict[str, Any] | None:
    if isinstance(distribution, Categorical):
        return {"values": list(distribution.choices)}
    low, high = distribution.low, distribution.high
    if low == high:
        return None  # W&B wants max above min, and a constant reads as a choice.
    if isinstance(distribution, Int) and distribution.log:
        half = {"min": low - 0.5, "max": high + 0.5, "q": 1}
        return {"distribution": "q_log_uniform_values", **half}
    if distribution.log:
        return {"distribution": "log_uniform_values", "min": low, "max": high}
    step = distribution.step
    if step is not None and not (isinstance(distribution, Int) and step == 1):
        half_step = decimal(step) / 2
        edges = float(decimal(low) - half_step), float(decimal(high) + half_step)
        half = {"min": edges[0], "max": edges[1], "q": step}
        return {"distribution": "q_uniform", **half}
    kind = "int_uniform" if isinstance(distribution, Int) else "uniform"
    return {"distribution": kind, "min": low, "max": high}


def _choices(values: list[Any]) -> Categorical:
    choices = Categorical(values)
    choices.check()
    return choices


def _categorical(full: Mapping[str, Any]) -> Categorical | Native:
    """Return the choices; in W&B's words where one is likelier than another."""
    values = list(full["values"])
    # Written twice, a value is twice as likely; equal values of two types stay apart, and an error.
    # Choices that cannot be are kept, to be refused by name.
    kept = list({(type(v), v if isinstance(v, Hashable) else id(v)): v for v in values}.values())
    support = _choices(kept)
    shares = set(full.get("probabilities", [1]))
    if len(shares) == 1 and len(kept) == len(values):
        return support
    return Native(DIALECT, {**full, "values": values}, support)


def _uniform(kind: str, full: Mapping[str, Any]) -> Float | Int:
    """Return the bounds of a distribution that is uniform, or uniform in the logarithm."""
    low, high = full["min"], full["max"]
    if kind == "int_uniform":
        return Int(low, high)
    if kind == "log_uniform":
        low, high = math.exp(low), math.exp(high)
    elif kind == "inv_log_uniform":
        low, high = math.exp(-high), math.exp(-low)
    return Float(low, high, log="log" in kind)


def _equal_shares(full: Mapping[str, Any]) -> Float | Int | None:
    """Return the steps, or the Int on a log scale, that a ``q_`` distribution is exactly."""
    kind, q = full["distribution"], full.get("q")
    if kind == "q_uniform":
        first, last = full["min"] / q + 0.5, full["max"] / q - 0.5
        if all(abs(bound - round(bound)) <= 1e-9 * max(1.0, abs(bound)) for bound in (first, last)):
            low, high = round(first) * q, round(last) * q
            return Int(low, high, step=q) if isinstance(q, int) else Float(low, high, step=q)
    if kind == "q_log_uniform_values" and type(q) is int and q == 1:
        low, high = full["min"] + 0.5, full["max"] - 0.5
        if low == int(low) and high == int(high):
            return Int(int(low), int(high), log=True)
    return None


def _support(full: Mapping[str, Any]) -> Float | Int:
    """Return which values a distribution of W&B's own can give."""
    kind, q = full["distribution"], full.get("q")
    low, high = 0.0, _UNBOUNDED
    if kind in ("q_uniform", "q_log_uniform_values"):
        low, high = full["min"], full["max"]
    elif kind == "q_log_uniform":
        low, high = math.exp(full["min"]), math.exp(full["max"])
    elif kind.endswith("beta"):
        high = 1.0
    elif kind.endswith("normal") and "log" not in kind:
        low = -_UNBOUNDED
    if q is None:
        return Float(low, high)
    if isinstance(q, int):
        low, high = max(low, -_WHOLE), min(high, _WHOLE)
        return Int(round(low / q) * q, round(high / q) * q, step=q)
    if high == _UNBOUNDED:
        return Float(low, high)
    return Float(quantized(low, q), quantized(high, q), step=q)
