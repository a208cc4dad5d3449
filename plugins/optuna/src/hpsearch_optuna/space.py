"""The portable space in Optuna's terms: its distributions, and asking one of its trials."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hpsearch.distributions import Categorical, Distribution, Float, Int, Native
from hpsearch.errors import SpaceError

if TYPE_CHECKING:
    import optuna

    from hpsearch.space import Space


def to_optuna(distribution: Distribution) -> optuna.distributions.BaseDistribution:
    """Return the Optuna distribution of the same values."""
    from optuna import distributions as native

    match distribution:
        case Float(low, _, log=log, step=step):
            return native.FloatDistribution(low, top(distribution), log=log, step=step)
        case Int(low, high, log=log, step=step):
            return native.IntDistribution(low, high, log=log, step=step)
        case Categorical(choices):
            return native.CategoricalDistribution(choices)
        case Native():
            raise SpaceError(f"{distribution} is nothing that Optuna has")


def fixed_distributions(
    space: Space | None,
) -> dict[str, optuna.distributions.BaseDistribution] | None:
    """Return what ``study.ask`` can be given beforehand.

    None where a trial is asked for one parameter after the other: in define-by-run, where there
    are conditions, and where a value of Optuna's may have to be rounded down.
    """
    if space is None or space.conditions:
        return None
    for distribution in space.parameters.values():
        if isinstance(distribution, Float) and top(distribution) > distribution.high:
            return None
    return {name: to_optuna(distribution) for name, distribution in space.parameters.items()}


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


def suggest(trial: optuna.Trial, name: str, distribution: Distribution) -> Any:
    """Ask an Optuna trial for a value of a portable distribution."""
    match distribution:
        case Float(low, high, log=log, step=step):
            value = trial.suggest_float(name, low, top(distribution), log=log, step=step)
            return value if step is None else min(value, high)
        case Int(low, high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case Categorical(choices):
            return trial.suggest_categorical(name, choices)


def to_optuna_value(value: Any, distribution: Distribution) -> Any:
    """Return a value of a portable distribution as one of its Optuna distribution."""
    return min(value, top(distribution)) if isinstance(distribution, Float) else value


def top(distribution: Float) -> float:
    """Return the upper bound as Optuna wants it: on the steps, in decimal arithmetic.

    Where the steps only nearly reach ``high``, as ``0.1 + 3 * 0.2`` in binary does with 0.7,
    Optuna would warn and might leave the last one out.
    """
    if distribution.step is None:
        return distribution.high
    low, high, step = (
        Decimal(str(number)) for number in (distribution.low, distribution.high, distribution.step)
    )
    return float(low + round((high - low) / step) * step)
