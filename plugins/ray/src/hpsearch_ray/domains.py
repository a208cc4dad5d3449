"""Ray's search-space domains, in and out of portable distributions.

Reading imports no Ray: its classes are known by their names.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from hpsearch.errors import SpaceError
from hpsearch.space.distributions import Categorical, Distribution, Float, Int, Native

GRID = "grid_search"
_MODULE = "ray.tune.search.sample"


def is_domain(value: object) -> bool:
    """Whether a value is what ``tune.uniform(...)`` and its kin return."""
    return any(
        cls.__module__ == _MODULE and cls.__name__ == "Domain" for cls in type(value).__mro__
    )


def is_grid(value: object) -> bool:
    """Whether a value is what ``tune.grid_search(...)`` returns."""
    return isinstance(value, Mapping) and set(value) == {GRID}


def read_value(name: str, value: Any) -> Distribution:
    """Return the distribution of the same meaning as a domain, a grid or a constant.

    Raises:
        SpaceError: Naming the parameter and what cannot be carried over.
    """
    if is_grid(value):
        return Categorical([_scalar(item) for item in value[GRID]])
    if is_domain(value):
        return _read_domain(name, value)
    if isinstance(value, Mapping | list | tuple | set) or callable(value):
        raise SpaceError(
            f"parameter {name!r} is the constant {value!r}, and a constant of a search space is "
            "None, a bool, a number or text; use it in the objective instead"
        )
    return Categorical([_scalar(value)])


def write_distribution(name: str, distribution: Distribution) -> Any:
    """Return Ray's domain of the same meaning.

    Raises:
        SpaceError: Ray has none: it counts steps from 0, and not from the lower bound.
    """
    from ray import tune

    match distribution:
        case Float(low, high, step=None, log=log):
            return tune.loguniform(low, high) if log else tune.uniform(low, high)
        case Float(low, high, step=float(step)):
            if math.isclose(low / step, round(low / step)) and math.isclose(
                high / step, round(high / step)
            ):
                return tune.quniform(low, high, step)
        case Int(low, high, step=1, log=log):
            return (tune.lograndint if log else tune.randint)(low, high + 1)
        case Int(low, high, step=step):
            if low % step == 0:
                return tune.qrandint(low, high, step)
        case Categorical(choices):
            return tune.choice(list(choices))
        case Native():
            return native_domain(distribution)
    raise SpaceError(
        f"parameter {name!r} is {distribution}, and Ray counts steps from 0: its bounds must be "
        "multiples of the step"
    )


def native_domain(distribution: Native) -> Any:
    """Return the domain that a parameter in Ray's own words stands for."""
    from ray import tune

    arguments = dict(distribution.definition)
    return getattr(tune, arguments.pop("type"))(**arguments)


def _read_domain(name: str, domain: Any) -> Distribution:
    kind = type(domain).__name__
    if kind == "Function":
        raise SpaceError(
            f"parameter {name!r} is a tune.sample_from, a function that only Ray can draw from; "
            "write a domain such as tune.uniform, or compute the value in the objective"
        )
    if kind == "Categorical":
        return Categorical([_scalar(item) for item in domain.categories])
    sampler = domain.get_sampler()
    q = None
    if type(sampler).__name__ == "Quantized":
        sampler, q = sampler.get_sampler(), _scalar(sampler.q)
    shape = str(sampler)
    if kind == "Float" and shape in ("Uniform", "LogUniform", "Normal"):
        return _read_float(domain, sampler, shape, q)
    if kind == "Integer" and shape in ("Uniform", "LogUniform"):
        return _read_int(_scalar(domain.lower), _scalar(domain.upper), shape, q)
    raise SpaceError(f"parameter {name!r} is a {type(domain).__qualname__} of Ray's, unknown here")


def _read_float(domain: Any, sampler: Any, shape: str, q: float | None) -> Distribution:
    if shape == "Normal":
        definition = {"mean": float(sampler.mean), "sd": float(sampler.sd)}
        everything = Float(-sys.float_info.max, sys.float_info.max)
        if q is None:
            return Native("ray", {"type": "randn", **definition}, everything)
        return Native("ray", {"type": "qrandn", **definition, "q": float(q)}, everything)
    low, high = float(domain.lower), float(domain.upper)
    if q is None:
        return Float(low, high, log=shape == "LogUniform")
    if shape == "Uniform":
        return Float(low, high, step=q)
    definition = {"lower": low, "upper": high, "q": float(q)}
    return Native("ray", {"type": "qloguniform", **definition}, Float(low, high, step=q))


def _read_int(lower: int, upper: int, shape: str, q: int | None) -> Distribution:
    # Ray leaves the upper bound out, except where it quantizes by more than 1.
    if q is None or q == 1:
        return Int(lower, upper - 1, log=shape == "LogUniform")
    multiples = Int(math.ceil(lower / q) * q, math.floor(upper / q) * q, step=q)
    if shape == "Uniform":
        return multiples
    definition = {"type": "qlograndint", "lower": lower, "upper": upper, "q": q}
    return Native("ray", definition, multiples)


def _scalar(value: Any) -> Any:
    """Return a NumPy scalar as Python's own; a Python value as it is."""
    return value.item() if hasattr(value, "item") and hasattr(value, "dtype") else value
