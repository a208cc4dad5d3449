"""An experiment's definition: read from a request, and refused where SigOpt refuses it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

KEYS = {
    "name",
    "type",
    "parameters",
    "metrics",
    "conditionals",
    "linear_constraints",
    "metadata",
    "parallel_bandwidth",
    "num_solutions",
}
TYPES = ("offline", "random", "grid")
STRATEGIES = ("optimize", "store", "constraint")


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def bad(message: str) -> Refusal:
    """Return the refusal of a request that makes no sense."""
    return Refusal(HTTPStatus.BAD_REQUEST, message)


def read_definition(body: Mapping[str, Any], budget_key: str) -> dict[str, Any]:
    """Return an experiment's definition with its defaults.

    Args:
        body: The request's.
        budget_key: ``"observation_budget"``, or ``"budget"`` for one that has training runs.

    Raises:
        Refusal: It has an unknown key, or one with a value that it cannot have.
    """
    refuse_unknown(body, {*KEYS, budget_key, "project"})
    if not body.get("name"):
        raise bad("Missing required json key 'name'")
    kind = body.get("type") or "offline"
    if kind not in TYPES:
        raise bad(f"Invalid experiment type: {kind}")
    conditionals = {item["name"]: item["values"] for item in body.get("conditionals") or []}
    parameters = [_parameter(item, kind, conditionals) for item in body.get("parameters") or []]
    if not parameters:
        raise bad("Experiments must have at least one parameter.")
    names = [item["name"] for item in parameters]
    if len({*names, *conditionals}) < len(names) + len(conditionals):
        raise bad("Duplicate parameter name")
    metrics = [_metric(item) for item in body.get("metrics") or [{}]]
    budget = body.get(budget_key)
    if kind == "grid":
        budget = math.prod(len(grid_of(item)) for item in parameters)
    elif budget is None and sum(item["strategy"] == "optimize" for item in metrics) > 1:
        raise bad(f"{budget_key} is required for an experiment with more than one optimized metric")
    elif budget is None and any(item["strategy"] == "constraint" for item in metrics):
        raise bad(f"{budget_key} is required for an experiment with constraint metrics")
    return {
        **{key: body.get(key) for key in KEYS},
        "type": kind,
        "parameters": parameters,
        "metrics": _checked(metrics),
        "conditionals": body.get("conditionals") or [],
        "linear_constraints": [
            _constraint(item, parameters) for item in body.get("linear_constraints") or []
        ],
        budget_key: budget,
    }


def refuse_unknown(body: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse a request with a key that is not known."""
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise bad(f"Unknown keys were provided: {', '.join(unknown)}")


def grid_of(parameter: Mapping[str, Any]) -> list[Any]:
    """Return the values that a parameter takes in a grid."""
    if parameter["type"] == "categorical":
        return [value["name"] for value in parameter["categorical_values"]]
    grid: list[Any] = parameter["grid"]
    return grid


def points_of_grid(definition: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every point of a grid, the first parameter changing fastest."""
    parameters = definition["parameters"]
    combinations = itertools.product(*(grid_of(item) for item in reversed(parameters)))
    names = [item["name"] for item in reversed(parameters)]
    return [dict(zip(names, combination, strict=True)) for combination in combinations]


def active(parameter: Mapping[str, Any], conditionals: Mapping[str, Any]) -> bool:
    """Whether a parameter's conditions hold for these values of the conditionals."""
    conditions = parameter.get("conditions") or {}
    return all(conditionals.get(name) in values for name, values in conditions.items())


def keeps(constraint: Mapping[str, Any], point: Mapping[str, Any]) -> bool:
    """Whether a point keeps a linear constraint."""
    total: float = sum(term["weight"] * point[term["name"]] for term in constraint["terms"])
    threshold: float = constraint["threshold"]
    return total > threshold if constraint["type"] == "greater_than" else total < threshold


def _parameter(
    given: Mapping[str, Any], kind: str, conditionals: Mapping[str, list[str]]
) -> dict[str, Any]:
    parameter = dict(given)
    name = parameter.get("name")
    if not name or parameter.get("type") not in ("double", "int", "categorical"):
        raise bad(f"Invalid param_type: {parameter.get('type')} of parameter {name}")
    if parameter["type"] == "categorical":
        _check_categorical(parameter)
    else:
        _check_numeric(parameter, kind)
    for condition, values in (parameter.get("conditions") or {}).items():
        if not set(values) <= set(conditionals.get(condition, ())):
            raise bad(f"Parameter {name} attempted to use non-existent conditional {condition}")
    return parameter


def _check_categorical(parameter: dict[str, Any]) -> None:
    name = parameter["name"]
    if any(key in parameter for key in ("bounds", "grid", "transformation", "prior")):
        raise bad(f"Categorical parameter {name} takes `categorical_values` only")
    values = [
        value if isinstance(value, str) else (value or {}).get("name")
        for value in parameter.get("categorical_values") or []
    ]
    if len(set(values)) < max(2, len(values)) or not all(isinstance(v, str) for v in values):
        raise bad(f"Categorical parameter {name} should have at least 2 categorical values.")
    parameter["categorical_values"] = [
        {"object": "categorical_value", "name": value, "enum_index": index}
        for index, value in enumerate(values, start=1)
    ]


def _check_numeric(parameter: dict[str, Any], kind: str) -> None:
    name, grid, bounds = parameter["name"], parameter.get("grid"), parameter.get("bounds")
    if bool(grid) == bool(bounds) or (kind == "grid" and not grid):
        raise bad(f"Parameter {name} must have `bounds`, or a `grid` and no bounds")
    edges: list[Any] = (
        [min(grid), max(grid)] if grid else [*map((bounds or {}).get, ("min", "max"))]
    )
    right = int if parameter["type"] == "int" else (int, float)
    if not all(isinstance(edge, right) for edge in edges) or edges[0] >= edges[1]:
        raise bad(f"Invalid bounds of parameter {name}: max must be greater than min")
    if parameter["type"] == "int" and (parameter.get("transformation") or parameter.get("prior")):
        raise bad("Transformation and prior are only valid for parameters of type `double`")
    transformation = parameter.get("transformation") or "none"
    if transformation not in ("none", "log"):
        raise bad(f"Invalid parameter transformation: {transformation}")
    if transformation == "log" and (edges[0] <= 0 or parameter.get("prior")):
        raise bad(f"Invalid bounds for log-transformation: bounds of {name} must be positive")


def _metric(given: Mapping[str, Any]) -> dict[str, Any]:
    metric = {
        "name": given.get("name"),
        "objective": given.get("objective") or "maximize",
        "strategy": given.get("strategy") or "optimize",
        "threshold": given.get("threshold"),
    }
    if metric["objective"] not in ("maximize", "minimize"):
        raise bad(f"Unrecognized objective type: {metric['objective']}")
    if metric["strategy"] not in STRATEGIES:
        raise bad(f"Unrecognized strategy: {metric['strategy']}")
    if metric["strategy"] == "constraint" and metric["threshold"] is None:
        raise bad("Constraint metrics must have the threshold field defined")
    return metric


def _checked(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    strategies = [metric["strategy"] for metric in metrics]
    if strategies.count("optimize") > 2:
        raise bad("Experiments must have at most 2 optimized metrics")
    if set(strategies) <= {"store"}:
        raise bad("Experiments must have optimized or constraint metrics")
    if strategies == ["optimize"] and metrics[0]["threshold"] is not None:
        raise bad("Thresholds are only supported for more than one optimized metric.")
    return sorted(metrics, key=lambda metric: metric["name"] or "")


def _constraint(
    given: Mapping[str, Any], parameters: Iterable[Mapping[str, Any]]
) -> Mapping[str, Any]:
    numeric = {item["name"] for item in parameters if item["type"] != "categorical"}
    if given.get("type") not in ("greater_than", "less_than"):
        raise bad(f"Invalid linear constraint: {given.get('type')}")
    if not {term["name"] for term in given["terms"]} <= numeric:
        raise bad("Linear constraints take numeric parameters only")
    return given
