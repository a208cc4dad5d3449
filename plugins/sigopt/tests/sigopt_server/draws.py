"""What this server suggests: a point drawn from the experiment's own parameters."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from plugins.sigopt.tests.sigopt_server.definition import (
    Refusal,
    active,
    grid_of,
    keeps,
    points_of_grid,
)

TRIES = 10_000
"""How often a point is drawn before constraints that hardly any keeps are given up on."""


def draw(definition: Mapping[str, Any], position: int, rng: random.Random) -> dict[str, Any]:
    """Return the assignments of a new suggestion; a parameter that is not active has None.

    Args:
        definition: The experiment's.
        position: How many suggestions it has made: the place in a grid, which begins again.
        rng: Where every other draw comes from.
    """
    if definition["type"] == "grid":
        points = points_of_grid(definition)
        return points[position % len(points)]
    for _ in range(TRIES):
        point: dict[str, Any] = {
            item["name"]: rng.choice(item["values"]) for item in definition["conditionals"]
        }
        for parameter in definition["parameters"]:
            is_active = active(parameter, point)
            point[parameter["name"]] = _value(parameter, rng) if is_active else None
        if all(keeps(constraint, point) for constraint in definition["linear_constraints"]):
            return point
    raise Refusal(HTTPStatus.BAD_REQUEST, "No point keeps the linear constraints")


def _value(parameter: Mapping[str, Any], rng: random.Random) -> Any:
    if parameter["type"] == "categorical" or parameter.get("grid"):
        return rng.choice(grid_of(parameter))
    low, high = parameter["bounds"]["min"], parameter["bounds"]["max"]
    if parameter["type"] == "int":
        return rng.randint(low, high)
    if parameter.get("transformation") == "log":
        return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)
    prior = parameter.get("prior")
    if prior is None:
        return rng.uniform(low, high)
    if prior["name"] == "beta":
        return low + (high - low) * rng.betavariate(prior["shape_a"], prior["shape_b"])
    while not low <= (value := rng.gauss(prior["mean"], prior["scale"])) <= high:
        continue
    return value
