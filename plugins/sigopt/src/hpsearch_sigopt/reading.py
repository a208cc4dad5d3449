"""Reading one entry of SigOpt's parameter list as a distribution."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.errors import SpaceError, brief, listed
from hpsearch.space.distributions import Categorical, Distribution, Float, Int, Native
from hpsearch.validators import is_finite, is_number, known_keys, one_of
from hpsearch_sigopt.parameters import DIALECT

logger = logging.getLogger("hpsearch")

_KEYS = ("name", "type", "bounds", "categorical_values", "grid", "transformation", "prior")
_KNOWN = (*_KEYS, "conditions", "object")
_MISSPELT = "transformamtion"
"""How the default space of transformers 4 wrote ``transformation``."""

_PRIORS = {"normal": ("mean", "scale"), "beta": ("shape_a", "shape_b")}


def read_parameter(given: Mapping[str, Any]) -> Distribution:
    """Return what an entry of a parameter list says, its conditions apart.

    Raises:
        SpaceError: Naming the parameter and what is wrong with it.
    """
    name = given["name"]
    entry = {key: value for key, value in given.items() if value is not None and value != []}
    if _MISSPELT in entry:
        logger.warning("parameter %r: %r is read as 'transformation'", name, _MISSPELT)
        entry.setdefault("transformation", entry.pop(_MISSPELT))
    known_keys(f"parameter {name!r}, as it is read here,", entry, _KNOWN, error=SpaceError)
    try:
        return _read(entry)
    except SpaceError as error:
        raise SpaceError(f"parameter {name!r}: {error}") from None


def _read(entry: Mapping[str, Any]) -> Distribution:
    kind = entry.get("type")
    if kind == "categorical":
        return _categorical(entry)
    if kind in ("double", "int"):
        return _number(entry, kind)
    raise SpaceError(f"type is {kind!r}, expected 'double', 'int' or 'categorical'")


def _categorical(entry: Mapping[str, Any]) -> Categorical:
    _only(entry, "categorical", "categorical_values")
    values = entry.get("categorical_values")
    if not isinstance(values, list | tuple):
        raise SpaceError(f"categorical_values is {values!r}, expected a list of texts")
    names = [value["name"] if isinstance(value, Mapping) else value for value in values]
    for text in names:
        if not isinstance(text, str):
            raise SpaceError(
                f"categorical value {text!r} is not a text, as SigOpt's are; write {str(text)!r}"
            )
    return Categorical(names)


def _number(entry: Mapping[str, Any], kind: str) -> Distribution:
    _only(entry, kind, "bounds", "grid", "transformation", "prior")
    log = _is_log(entry)
    if ("grid" in entry) == ("bounds" in entry):
        raise SpaceError("expected bounds or a grid, one of the two")
    if "grid" in entry:
        if "prior" in entry:
            raise SpaceError("a grid has no prior in SigOpt")
        return _grid(entry["grid"], kind, log)
    bounds = entry["bounds"]
    if not isinstance(bounds, Mapping) or set(bounds) != {"min", "max"}:
        raise SpaceError(f"bounds is {bounds!r}, expected {{'min': ..., 'max': ...}}")
    low, high = (_value(bounds[side], kind) for side in ("min", "max"))
    if "prior" in entry:
        if kind != "double" or log:
            raise SpaceError("SigOpt has priors for doubles without transformation only")
        prior = _prior(entry["prior"])
        definition = {"type": kind, "bounds": {"min": low, "max": high}, "prior": prior}
        return Native(DIALECT, definition, Float(low, high))
    return Float(low, high, log=log) if kind == "double" else Int(int(low), int(high), log=log)


def _grid(given: Any, kind: str, log: bool) -> Distribution:
    if not isinstance(given, list | tuple) or not given:
        raise SpaceError(f"grid is {given!r}, expected a list of numbers")
    values = sorted(_value(value, kind) for value in given)
    if not log:
        even = _evenly(values, kind)
        if even is not None:
            return even
    # Its order and its distances say more than a categorical does.
    definition: dict[str, Any] = {"type": kind, "grid": values}
    if log:
        definition["transformation"] = "log"
    return Native(DIALECT, definition, Categorical(values))


def _evenly(values: Sequence[Any], kind: str) -> Float | Int | None:
    """Return the grid as steps if they give its values up to rounding."""
    low, high, count = values[0], values[-1], len(values) - 1
    if not count:
        return Int(low, low) if kind == "int" else Float(low, low)
    first = values[1] - low
    if kind == "int":
        found: Float | Int = Int(low, high, step=first)
        return found if _says(found, values) else None
    # The step that was meant, 0.1 say, or else the one that there is.
    steps = (Float(low, high, step=step) for step in (round((high - low) / count, 12), first))
    return next((found for found in steps if _says(found, values)), None)


def _says(found: Float | Int, values: Sequence[Any]) -> bool:
    try:
        found.check()
    except SpaceError:
        return False
    if found.size() != len(values):
        return False
    pairs = zip(found.values() or (), values, strict=True)
    return all(math.isclose(one, other, rel_tol=1e-14) for one, other in pairs)


def _prior(given: Any) -> dict[str, Any]:
    name = given.get("name") if isinstance(given, Mapping) else None
    if name not in _PRIORS:
        raise SpaceError(f"prior is {given!r}, expected one with name 'normal' or 'beta'")
    prior = {key: value for key, value in given.items() if value is not None and key != "object"}
    if prior.keys() - {"name"} != set(_PRIORS[name]):
        raise SpaceError(f"prior {given!r} of a {name} distribution needs {listed(_PRIORS[name])}")
    return prior


def _is_log(entry: Mapping[str, Any]) -> bool:
    transformation = entry.get("transformation", "none")
    return one_of("transformation", transformation, ("log", "none"), error=SpaceError) == "log"


def _value(given: Any, kind: str) -> Any:
    """Return a bound or a grid's value as a float or an int."""
    if not is_number(given):
        raise SpaceError(f"{given!r} is not a number")
    if not is_finite(given):
        raise SpaceError(f"{brief(given, 40)} is not a finite number that a float can hold")
    if kind == "double":
        return float(given)
    if int(given) != given:
        raise SpaceError(f"{given!r} is not a whole number, which type 'int' asks for")
    return int(given)


def _only(entry: Mapping[str, Any], kind: str, *keys: str) -> None:
    for key in entry.keys() & set(_KEYS) - {"name", "type", *keys}:
        raise SpaceError(f"a {kind} parameter has no {key!r}")
