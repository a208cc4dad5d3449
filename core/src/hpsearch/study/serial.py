"""The one JSON form of a record: for the journal, workers, ranks, exports and reports.

:func:`record_to_dict` and :func:`record_from_dict` turn a record into plain data and back, and
check what they read. :func:`dumps` and :func:`loads` turn plain data into text and back: any name
and any float reads back as it was written. JSON has no NaN and no infinity, so these are written
as ``{"$float": "nan"}``; a mapping that looks like that is written as ``{"$dict": {...}}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from hpsearch.errors import ArgumentError, HpsearchError, SpaceError, brief
from hpsearch.space import distributions
from hpsearch.space.space import Space
from hpsearch.study.outcome import Outcome, TrialError, TrialState
from hpsearch.study.record import TrialRecord
from hpsearch.validators import json_data

_T = TypeVar("_T")

# Plain data.

_YEAR_10000: Final = 253_402_300_800
"""Seconds since the epoch, before which every calendar ends."""

_MOST_BITS: Final = 14_000
"""An int of more digits than about 4,300 has no text: Python refuses to write it."""


def plain(what: str, value: object) -> Any:
    """Return a copy of a value that is JSON, in plain Python types.

    Tuples become lists, NumPy's numbers and the members of enumerations become what they stand
    for, and NaN and infinity are allowed.

    Args:
        what: What the value is, for the message: ``"the fact 'size' is"``.
        value: The value.

    Raises:
        ArgumentError: It is not JSON.
    """
    try:
        return _plain(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{what} {brief(value)}, expected JSON: {error}") from None
    except RecursionError:
        raise ArgumentError(f"{what} {brief(value)}, expected JSON: it contains itself") from None


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, bool, float):
        return value
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise ValueError("an int has too many digits")
    for kind, to_plain in _PLAIN.items():
        if isinstance(value, kind):
            return to_plain(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {brief(key)} is not a text")
        return {str.__str__(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # NumPy's and torch's
        return _plain(value.item())
    raise TypeError(f"{brief(value)} is of type {type(value).__name__}")


_PLAIN: Final[Mapping[type, Callable[[Any], Any]]] = {
    int: int.__int__,
    str: str.__str__,
    float: float.__float__,
}
"""To a plain value from one of a subclass, such as a member of an enumeration."""


# Text.

_FLOAT, _DICT = "$float", "$dict"
_SPECIAL: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def dumps(value: Any) -> str:
    """Return plain data as JSON text that :func:`loads` reads back exactly."""
    try:
        text = _encode(value)
    except ValueError:
        return _encode(_tagged(value))
    return _encode(_tagged(value)) if '"$' in text else text


def loads(text: str | bytes) -> Any:
    """Return the plain data of JSON text.

    Raises:
        ValueError: The text is not JSON, has a key twice, or a number beyond any float.
    """
    if not isinstance(text, str):
        text = text.decode()
    value = json_data(text)
    return _untagged(value) if "$" in text else value


def strict(value: Any) -> Any:
    """Return plain data for any reader of JSON: NaN and infinity become the texts of their names.

    Python's ``float`` and most other readers take ``"nan"``, ``"inf"`` and ``"-inf"`` back.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def _tagged(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(float(value))}
    if isinstance(value, Mapping):
        inner = {name: _tagged(item) for name, item in value.items()}
        looks_special = len(inner) == 1 and not inner.keys().isdisjoint((_FLOAT, _DICT))
        return {_DICT: inner} if looks_special else inner
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in value]
    return value


def _untagged(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1:
            ((name, item),) = value.items()
            if name == _FLOAT and isinstance(item, str) and item in _SPECIAL:
                return _SPECIAL[item]
            if name == _DICT and isinstance(item, dict):
                value = item
        return {name: _untagged(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    return value


# Errors and outcomes.


def error_to_dict(error: TrialError) -> dict[str, Any]:
    """Return why a trial failed as plain data."""
    return {
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
        "bases": list(error.bases),
    }


def error_from_dict(data: Mapping[str, Any]) -> TrialError:
    """Read why a trial failed.

    Raises:
        ValueError: The data is not of that form.
    """
    read = _Reader(data)
    return TrialError(
        read.take("type", _text),
        read.take("message", _text),
        read.take("traceback", _text, ""),
        read.take("bases", lambda bases: tuple(map(_text, _list(bases))), ()),
    )


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """Return how a trial ended as plain data, without the exception object."""
    return {
        "state": str(outcome.state),
        "objectives": None if outcome.objectives is None else list(outcome.objectives),
        "error": None if outcome.error is None else error_to_dict(outcome.error),
        "aborts": outcome.aborts,
    }


def outcome_from_dict(data: Mapping[str, Any]) -> Outcome:
    """Read how a trial ended.

    Raises:
        ValueError: The data is not of that form.
    """
    read = _Reader(data)
    return Outcome(
        read.take("state", TrialState),
        read.take("objectives", _optional(_floats), None),
        read.take("error", _optional(lambda error: error_from_dict(_mapping(error))), None),
        read.take("aborts", bool, default=False),
    )


# Records.


def record_to_dict(record: TrialRecord) -> dict[str, Any]:
    """Return a record as plain data; :func:`record_from_dict` reads it back."""
    return {
        **payload_of(record),
        "state": str(record.state),
        "objectives": None if record.objectives is None else list(record.objectives),
        "derived": dict(record.derived),
        "intermediate": [
            {"step": step, "values": list(values)} for step, values in record.intermediate.items()
        ],
        "constraints": dict(record.constraints),
        "attrs": record.attrs,
        "distributions": {name: item.to_dict() for name, item in record.distributions.items()},
        "error": None if record.error is None else error_to_dict(record.error),
        "retry_of": record.retry_of,
        "started": record.started,
        "ended": record.ended,
        "duration": record.duration,
    }


def payload_of(record: TrialRecord) -> dict[str, Any]:
    """Return the part of a record that has to travel for its trial to run in another process."""
    return {
        "number": record.number,
        "id": record.id,
        "params": dict(record.params),
        "fixed": dict(record.fixed),
        "study_seed": record.study_seed,
        "resume_from": record.resume_from,
    }


def record_from_dict(
    data: Mapping[str, Any], *, directions: int | None = None, space: Space | None = None
) -> TrialRecord:
    """Read a record, or the part of one that :func:`payload_of` returns.

    Args:
        data: The plain data; what it leaves out is as in a record that is new.
        directions: How many values an objective and a report have; None does not check it.
        space: The space that a complete or pruned trial must be a point of, with values that
            become canonical; None for a define-by-run search.

    Raises:
        ValueError: A field is missing, of the wrong type, or does not fit the others; the message
            names it.
    """
    found = {name: _checked(name, data[name]) for name in data.keys() & _FIELDS.keys()}
    for name in ("number", "id"):
        if name not in found:
            raise ValueError(f"{name} is missing")
    record = TrialRecord(
        found.pop("number"),
        id=found.pop("id"),
        params=found.pop("params", None),
        fixed=found.pop("fixed", None),
        study_seed=found.pop("study_seed", 0),
    )
    derived = found.pop("derived", None)
    if derived:
        record.derive(derived)
    for name, value in found.items():
        if value != {}:  # what is empty stays the empty one that all records share
            setattr(record, name, value)
    _check_whole(record, directions)
    make_canonical(record, space)
    return record


def _checked(name: str, value: object) -> Any:
    try:
        return _FIELDS[name](value)
    except (TypeError, ValueError, HpsearchError) as error:
        raise ValueError(f"{name} is {brief(value)}: {error}") from None


def _check_whole(record: TrialRecord, directions: int | None) -> None:
    """Raise ValueError unless the fields of a record fit each other."""
    state = record.state
    if (record.objectives is not None) is not (state is TrialState.COMPLETE):
        raise ValueError(f"objectives is {record.objectives!r}, and state is {str(state)!r}")
    if (record.error is not None) is not (state is TrialState.FAILED):
        raise ValueError(f"error is {brief(record.error)}, and state is {str(state)!r}")
    if record.retry_of is not None and record.retry_of >= record.number:
        raise ValueError(f"retry_of is {record.retry_of}, and number is {record.number}")
    if directions is None:
        return
    for what, values in (("objectives", record.objectives), *record.intermediate.items()):
        if values is not None and len(values) != directions:
            where = what if isinstance(what, str) else f"the report at step {what}"
            raise ValueError(f"{where} has {len(values)} values, and the study {directions}")
    if record.objectives is not None and not all(map(math.isfinite, record.objectives)):
        raise ValueError(f"objectives is {record.objectives!r}, expected finite numbers")


def make_canonical(record: TrialRecord, space: Space | None) -> None:
    """Give each value its one form: a journal of hpsearch 0.1.0 has 0.30000000000000004 for 0.3.

    Raises:
        ValueError: The trial is complete or pruned, and not a point of the space.
    """
    portable = {} if space is None else space.parameters
    drawn = {**portable, **record.distributions} if record.distributions else portable
    try:
        if space is not None and record.ended_well:
            record.replace(space.validate(record.params))
        elif drawn:
            if record.ended_well:
                for name in drawn.keys() & record.params.keys():
                    drawn[name].validate(record.params[name])
            record.replace(distributions.canonical(record.params, drawn))
    except SpaceError as error:
        raise ValueError(f"params: {error}") from None
    if portable and record.fixed:
        record.fixed = distributions.canonical(record.fixed, portable)


class _Reader:
    """Takes fields out of plain data, and names the one that is wrong."""

    __slots__ = ("_data",)

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def take(self, name: str, check: Callable[[Any], _T], default: Any = ...) -> _T:
        if name not in self._data:
            if default is ...:
                raise ValueError(f"{name} is missing")
            known: _T = default
            return known
        value = self._data[name]
        try:
            return check(value)
        except (TypeError, ValueError, ArithmeticError, HpsearchError) as error:
            raise ValueError(f"{name} is {brief(value)}: {error}") from None


def _optional(check: Callable[[Any], _T]) -> Callable[[Any], _T | None]:
    return lambda value: None if value is None else check(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text that is not empty")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("expected a whole number of at least 0")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("expected a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("expected a number that a float can hold") from None


def _finite(value: object) -> float:
    number = _number(value)
    if not math.isfinite(number):
        raise ValueError("expected a finite number")
    return number


def _time(value: object) -> float:
    number = _finite(value)
    if not 0 <= number < _YEAR_10000:
        raise ValueError("expected seconds since the epoch")
    return number


def _seconds(value: object) -> float:
    number = _finite(value)
    if number < 0:
        raise ValueError("expected seconds of at least 0")
    return number


def _list(value: object) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError("expected a list")
    return list(value)


def _floats(value: object) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError("expected a list")
    return tuple([item if type(item) is float else _number(item) for item in value])


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("expected a mapping")
    return value


def _numbers(value: object) -> dict[str, float]:
    return {name: _number(item) for name, item in _mapping(value).items()}


def _point(value: object) -> dict[str, Any]:
    for name, item in _mapping(value).items():
        if item is not None and type(item) not in (bool, int, float, str):
            raise ValueError(f"{name!r} is {brief(item)}, expected a bool, number, text or None")
    return _mapping(value)


def _reports(value: object) -> dict[int, tuple[float, ...]]:
    reports: dict[int, tuple[float, ...]] = {}
    for item in _list(value):
        read = _Reader(_mapping(item))
        step = read.take("step", _count)
        if step in reports:
            raise ValueError(f"step {step} is there twice")
        reports[step] = read.take("values", _floats)
    return dict(sorted(reports.items()))


def _distributions(value: object) -> dict[str, distributions.Distribution]:
    read: dict[str, distributions.Distribution] = {}
    for name, data in _mapping(value).items():
        read[name] = distributions.from_dict(_mapping(data))
        read[name].check()
    return read


_FIELDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "number": _count,
    "id": _name,
    "state": TrialState,
    "params": _point,
    "fixed": _point,
    "derived": _mapping,
    "objectives": _optional(_floats),
    "intermediate": _reports,
    "constraints": _numbers,
    "attrs": _mapping,
    "distributions": _distributions,
    "error": _optional(lambda error: error_from_dict(_mapping(error))),
    "retry_of": _optional(_count),
    "study_seed": _count,
    "started": _time,
    "ended": _optional(_time),
    "duration": _optional(_seconds),
    "resume_from": _optional(_text),
}
"""What a field of a record has to be: returns it as the record has it, or raises."""
