"""The portable space in Optuna's terms: its distributions, and asking one of its trials."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from hpsearch.errors import SpaceError
from hpsearch.space.distributions import (
    Categorical,
    Distribution,
    Float,
    Int,
    Native,
    check_exact,
)

if TYPE_CHECKING:
    import optuna

    from hpsearch.space.space import Space

Draw: TypeAlias = "Callable[[optuna.Trial], Any]"
"""Asks an Optuna trial for the value of one parameter."""


def to_optuna(distribution: Distribution) -> optuna.distributions.BaseDistribution:
    """Return the Optuna distribution of the same values."""
    from optuna import distributions as native

    match distribution:
        case Float(log=log):
            low, high, step = in_decimals(distribution)
            return native.FloatDistribution(low, high, log=log, step=step)
        case Int(low, high, log=log, step=step):
            return native.IntDistribution(low, high, log=log, step=step)
        case Categorical(choices):
            return native.CategoricalDistribution(choices)
        case Native():
            raise SpaceError(f"{distribution} is nothing that Optuna has")


def from_optuna(native: Any) -> Distribution:
    """Return the portable distribution of the same values, judged by attributes alone.

    Args:
        native: One of Optuna's distributions, of this or an older version.
    """
    kind = kind_of(native)
    if kind == "FloatDistribution":
        return Float(native.low, native.high, log=native.log, step=native.step)
    if kind == "IntDistribution":
        return Int(native.low, native.high, log=native.log, step=native.step)
    return Categorical(native.choices)


def kind_of(thing: object) -> str | None:
    """Return which of Optuna's three distributions a thing is, by the names of its classes."""
    kinds = ("FloatDistribution", "IntDistribution", "CategoricalDistribution")
    for cls in type(thing).__mro__:
        if cls.__module__ == "optuna.distributions" and cls.__name__ in kinds:
            return cls.__name__
    return None


def draws(space: Space) -> dict[str, Draw]:
    """Return, for each parameter of a space, what asks an Optuna trial for its value.

    Raises:
        SpaceError: Optuna cannot count the steps of a parameter, or does not have all its values;
            the parameter is named.
    """
    return {name: draw(name, item) for name, item in space.parameters.items()}


def draw(name: str, distribution: Distribution) -> Draw:
    """Return what asks an Optuna trial for a value of a portable distribution.

    The call raises :class:`SpaceError` where an earlier trial had another kind of distribution, or
    other choices, under this name.

    Raises:
        SpaceError: Optuna, which computes in floats, does not have every value of it.
    """
    try:
        check_exact(distribution, "Optuna")
        ask = _draw(name, distribution)
    except SpaceError as error:
        raise SpaceError(f"parameter {name!r}: {error}") from None

    def drawn(trial: optuna.Trial) -> Any:
        try:
            return ask(trial)
        except ValueError as error:
            raise changed(name, distribution, error) from error

    return drawn


def _draw(name: str, distribution: Distribution) -> Draw:
    match distribution:
        case Float(low, high, log=log, step=None):
            return lambda trial: trial.suggest_float(name, low, high, log=log)
        case Float():
            low, high, step = in_decimals(distribution)
            nearest = distribution.nearest
            return lambda trial: nearest(trial.suggest_float(name, low, high, step=step))
        case Int(low, high, log=log, step=step):
            return lambda trial: trial.suggest_int(name, low, high, log=log, step=step)
        case Categorical(choices):
            return lambda trial: trial.suggest_categorical(name, choices)
    raise SpaceError(f"{distribution} is nothing that Optuna has")


def changed(name: str, distribution: Distribution, error: ValueError) -> SpaceError:
    """Return what to say where Optuna refuses a distribution after another one of its name."""
    return SpaceError(
        f"parameter {name!r} is {distribution}, and was another one in an earlier trial, which "
        f"Optuna cannot follow ({error}). Give each kind of it, and each list of choices, a name "
        "of its own, or use backend 'random'"
    )


def to_optuna_value(value: Any, distribution: Distribution) -> Any:
    """Return a value of a portable distribution as one of its Optuna distribution."""
    if isinstance(distribution, Float):
        low, high, _ = in_decimals(distribution)
        return min(max(value, low), high)
    return value


def in_decimals(distribution: Float) -> tuple[float, float, float | None]:
    """Return low, high and step as Optuna wants them: on the steps, in decimal arithmetic.

    Optuna would warn and leave the last step out where the steps only nearly reach ``high``. A step
    such as 1/3 has all the digits of a binary number, so it counts as a decimal near it.
    """
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is None:
        return low, high, None
    count = (distribution.size() or 1) - 1
    for digits in (17, 15, 12, 9):
        start, width = (Decimal(str(float(f"{number:.{digits}g}"))) for number in (low, step))
        end = Decimal(str(float(start + count * width)))
        if (end - start) % width == 0:
            return float(start), float(end), float(width)
    raise SpaceError(f"{distribution} has more digits than Optuna can count steps with")
