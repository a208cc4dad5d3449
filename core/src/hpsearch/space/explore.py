"""Define-by-run functions, read beforehand.

A function that calls ``trial.suggest_*`` decides while it runs which parameters there are. To read
it, :func:`explore` runs it with values that notice when they are looked at. Where one decides
something, the other values that it could have had are noted down, to be run too; so only the
parameters that really decide multiply the runs, and at the end every branch has been taken. From
what decided in which run follow the conditions of a :class:`~hpsearch.space.space.Space`.

A float, or an int with very many values, cannot be run with every value. Where one decides
something, the error names it and the line.
"""

from __future__ import annotations

import math
import operator
import random
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from hpsearch.errors import HpsearchError, SpaceError, described
from hpsearch.space import distributions, suggester
from hpsearch.space.branches import SMALL, Asked, Run, condition_of, deciding_values
from hpsearch.space.distributions import Categorical, Choice, Distribution
from hpsearch.space.space import Space, check_parameter

MOST_RUNS: Final = 1000
"""The most combinations of deciding values that are run."""

_ADVICE = "Give the space itself, or use a backend that suggests while a trial runs"


@dataclass(frozen=True, slots=True)
class Probe:
    """What one call of a function shows about it.

    Attributes:
        suggested: Whether it asked the trial for parameters.
        names: Those that it asked for; another branch may ask for others. None where the function
            wants the engine's own trial, and its parameters are not known.
        returned: What it returned.
    """

    suggested: bool
    names: tuple[str, ...] | None
    returned: Any = None


def probe(function: Callable[[Any], Any]) -> Probe:
    """Call a space function once, with a trial that answers any value in range.

    Raises:
        SpaceError: The function raised, or asked for a parameter that no search could use.
    """
    trial = _AnyTrial()
    try:
        returned = function(trial)
    except SpaceError:
        raise
    except HpsearchError:
        return Probe(suggested=True, names=None)
    except Exception as error:
        if isinstance(error, AttributeError) and error.obj is trial:
            return Probe(suggested=True, names=None)
        if _prunes(error):
            return Probe(suggested=True, names=tuple(trial.params))
        raise _failed(error) from error
    return Probe(bool(trial.params), tuple(trial.params), returned)


class _Reading(suggester.Suggester, Mapping[str, Any]):
    """A trial of no study, with the parameters that it was asked for so far."""

    def __init__(self) -> None:
        self._params: dict[str, Any] = {}

    @property
    def params(self) -> Mapping[str, Any]:
        return self._params

    def __getitem__(self, name: str) -> Any:
        return self._params[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def __bool__(self) -> bool:
        return True  # also one without parameters: `if trial:` asks whether there is a trial

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class _AnyTrial(_Reading):
    """A trial that answers any value in range; it has nothing that takes an engine or a study."""

    number = 0

    def __init__(self) -> None:
        super().__init__()
        self._distributions: dict[str, Distribution] = {}

    def suggest(self, name: str, distribution: Distribution) -> Any:
        check_parameter(name, distribution)
        _check_same(name, self._distributions.setdefault(name, distribution), distribution)
        return self._params.setdefault(name, distribution.sample(random.Random(0)))


def explore(function: Callable[[Any], Any]) -> Space:
    """Read a define-by-run function: every parameter, in its order, and when it is asked for.

    Args:
        function: Calls ``trial.suggest_*``. It is called many times, each time with a fresh trial;
            what it returns is not looked at.

    Raises:
        SpaceError: Something other than a categorical or an int of at most 100 values decides what
            is suggested, a name has two distributions, or there are too many combinations. The
            message names the parameter and, where there is one, the line.
    """
    runs = list(_every_run(function))
    found: dict[str, Distribution] = {}
    order: list[str] = []
    for run in runs:
        place = 0
        for name, asked in run.asked.items():
            _check_same(name, found.setdefault(name, asked.distribution), asked.distribution)
            if name not in order:
                order.insert(place, name)
            place = order.index(name) + 1
    parameters = {name: found[name] for name in order}
    conditions = {
        name: condition_of(name, runs, parameters)
        for name in parameters
        if not all(name in run.asked for run in runs)
    }
    return Space(parameters, conditions)


# Taking every branch.


def _every_run(function: Callable[[Any], Any]) -> Iterator[Run]:
    """Call the function once for every combination of the values that decide something."""
    waiting: list[dict[str, Choice]] = [{}]
    done = 0
    while waiting:
        script = waiting.pop()
        run = _run_checked(function, script)
        for name, value in run.decided.items():
            if name not in script:
                values = deciding_values(run.asked[name].distribution) or ()
                waiting += [{**script, name: v} for v in reversed(values) if v != value]
                script[name] = value
        done += 1
        if done + len(waiting) > MOST_RUNS:
            raise SpaceError(_too_many(run))
        yield run


def _run_checked(function: Callable[[Any], Any], script: Mapping[str, Choice]) -> Run:
    """Run once; where a number left our sight, see whether another one changes anything."""
    run = _run(function, script, _drawing(0))
    if script.keys() - run.decided.keys():
        raise SpaceError(f"the function suggests differently each time it is called. {_ADVICE}")
    if run.converted:
        for draw in (lambda d: d.low, lambda d: d.high, _drawing(1), _drawing(2)):
            again = _run(function, run.decided, draw)
            if again.asked != run.asked or again.decided != run.decided:
                places = ", ".join(f"{name!r} at {place}" for name, place in run.converted.items())
                raise SpaceError(
                    f"what is suggested depends on the number of {places}; only a categorical or "
                    f"an int of at most {SMALL} values can decide that. {_ADVICE}"
                )
    return run


def _drawing(seed: int) -> Callable[[Any], Any]:
    return lambda distribution: distribution.sample(random.Random(seed))


def _run(
    function: Callable[[Any], Any], script: Mapping[str, Choice], draw: Callable[[Any], Any]
) -> Run:
    reader = _Reader(script, draw, plain=False)
    if _error_of(function, reader):
        # Some code takes nothing but a true int or str. It gets one, and every value is tried.
        reader = _Reader(script, draw, plain=True)
        error = _error_of(function, reader)
        if error:
            raise _failed(error) from error
    return reader._run


def _error_of(function: Callable[[Any], Any], reader: _Reader) -> Exception | None:
    try:
        function(reader)
    except Exception as error:  # noqa: BLE001 - returned, or outranked by the refusal
        if not reader._refusal and not _prunes(error):
            return error
    if reader._refusal:
        raise reader._refusal
    return None


class _Reader(_Reading):
    """The trial of one run: it suggests, and refuses all that is not known before a search."""

    _KNOWN = frozenset(
        (
            *("suggest", "suggest_float", "suggest_int", "suggest_categorical"),
            *("params", "get", "keys", "values", "items"),
        )
    )

    def __init__(
        self, script: Mapping[str, Choice], draw: Callable[[Any], Any], *, plain: bool
    ) -> None:
        super().__init__()
        self._script = script
        self._draw = draw
        self._plain = plain
        self._run = Run()
        self._refusal: SpaceError | None = None

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in _Reader._KNOWN:
            self._refuse(f"trial.{name} is not known while a space is read, and was used")
        return super().__getattribute__(name)

    def suggest(self, name: str, distribution: Distribution) -> Any:
        name = _settled(name)
        fields = {key: _settled(value) for key, value in distribution.to_dict().items()}
        distribution = distributions.from_dict(fields)
        check_parameter(name, distribution)
        asked = self._run.asked
        if name in asked:
            _check_same(name, asked[name].distribution, distribution)
            return self._params[name]
        asked[name] = Asked(distribution, len(self._run.decided))
        values = deciding_values(distribution)
        value = self._draw(distribution) if values is None else self._script.get(name, values[0])
        if not self._plain and _can_be_watched(distribution):
            value = _Value(value, (name,), self)
        else:
            self._look((name,), converts=True)
        self._params[name] = value
        return value

    def _look(self, names: Collection[str], *, converts: bool) -> None:
        """Take note that a value made of these parameters is looked at."""
        for name in names:
            distribution = self._run.asked[name].distribution
            values = deciding_values(distribution)
            if values is not None:
                self._run.decided.setdefault(name, self._script.get(name, values[0]))
            elif converts:
                self._run.converted.setdefault(name, _place())
            else:
                self._refuse(
                    f"parameter {name!r} is {distribution}, and only a categorical or an int of at "
                    f"most {SMALL} values can decide what is suggested; it is compared"
                )

    def _refuse(self, problem: str) -> NoReturn:
        # Kept too: the function may take the exception for one of its own.
        self._refusal = SpaceError(f"{problem} at {_place()}. {_ADVICE}")
        raise self._refusal


# Values that notice when they are looked at.


class _Value:
    """A suggested value, or one computed from some, that tells its trial when it is looked at.

    Arithmetic gives another one. A comparison decides something. A conversion (``int(x)``,
    ``f"{x}"``, ``range(x)``, ``math.log(x)``, a method) gives a plain value, which might.
    """

    __slots__ = ("_names", "_raw", "_reader")

    def __init__(self, raw: Any, names: tuple[str, ...], reader: _Reader) -> None:
        self._raw = raw
        self._names = names
        self._reader = reader

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._raw)  # isinstance() sees the plain type.


def reduce_ex(raw: Any, _protocol: int) -> Any:
    """Copy and pickle a value as the plain one that it is."""
    return type(raw), (raw,)


_Method = Callable[..., Any]

_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
_UNARY: tuple[_Method, ...] = (operator.neg, operator.pos, operator.abs, operator.invert)
_ROUNDING: tuple[_Method, ...] = (round, math.floor, math.ceil, math.trunc)
_ORDER: tuple[_Method, ...] = (operator.lt, operator.le, operator.gt, operator.ge)
_DECIDING: tuple[_Method, ...] = (*_ORDER, operator.eq, operator.ne, bool, hash)
_CONVERTING: tuple[_Method, ...] = (
    *(int, float, complex, operator.index),
    *(str, repr, format, getattr, reduce_ex),
)


def _computing(function: _Method, *, reflected: bool = False) -> _Method:
    def method(self: _Value, *others: Any) -> _Value:
        operands = (*others, self) if reflected else (self, *others)
        values = [item for item in operands if type(item) is _Value]
        names = dict.fromkeys(name for value in values for name in value._names)
        return _Value(function(*map(_raw, operands)), tuple(names), self._reader)

    return method


def _looking(function: _Method, *, converts: bool) -> _Method:
    def method(self: _Value, *others: Any) -> Any:
        for value in (self, *others):
            if type(value) is _Value:
                self._reader._look(value._names, converts=converts)
        return function(*map(_raw, (self, *others)))

    return method


def _raw(value: Any) -> Any:
    return value._raw if type(value) is _Value else value


for _name in _BINARY:
    _operator = getattr(operator, f"__{_name}__")
    setattr(_Value, f"__{_name}__", _computing(_operator))
    setattr(_Value, f"__r{_name}__", _computing(_operator, reflected=True))
for _function in (*_UNARY, *_ROUNDING):
    setattr(_Value, f"__{_function.__name__}__", _computing(_function))
for _function in _DECIDING:
    setattr(_Value, f"__{_function.__name__}__", _looking(_function, converts=False))
for _function in _CONVERTING:
    setattr(_Value, f"__{_function.__name__}__", _looking(_function, converts=True))


def _settled(thing: Any) -> Any:
    """Return a plain name, bound or choice; one made of suggested values decides something."""
    if isinstance(thing, list):
        return [_settled(item) for item in thing]
    if type(thing) is _Value:
        thing._reader._look(thing._names, converts=False)
    return _raw(thing)


def _can_be_watched(distribution: Distribution) -> bool:
    """Whether it cannot decide unseen, as in ``x is None`` or ``isinstance(x, str)``."""
    if not isinstance(distribution, Categorical):
        return True
    kinds = {type(choice) for choice in distribution.choices}
    return len(kinds) == 1 and not kinds & {bool, type(None)}


# What is said when a function cannot be read.


def _check_same(name: str, one: Distribution, other: Distribution) -> None:
    if one != other:
        raise SpaceError(
            f"parameter {name!r} is {one} in one place and {other} in another; one name has one "
            "distribution"
        )


def _too_many(run: Run) -> str:
    counts = {n: len(deciding_values(run.asked[n].distribution) or ()) for n in run.decided}
    deciding = ", ".join(f"{name!r} ({count} values)" for name, count in counts.items())
    total = math.prod(counts.values())
    return (
        f"what is suggested depends on {deciding}: {total:,} combinations, and at most "
        f"{MOST_RUNS:,} are read. {_ADVICE}"
    )


def _prunes(error: Exception) -> bool:
    """Whether the function gave this combination up, in any engine's way: as a trial judges."""
    return type(error).__name__ == "TrialPruned"


def _failed(error: Exception) -> SpaceError:
    return SpaceError(f"the space function failed with {described(error)}")


def _place() -> str:
    """Return file and line of the code that is being read."""
    frame = sys._getframe()
    while frame.f_back and frame.f_code.co_filename in (__file__, suggester.__file__):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
