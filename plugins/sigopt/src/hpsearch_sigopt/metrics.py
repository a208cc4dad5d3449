"""An experiment's metrics: which stand for the objective, and what a trial says of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.errors import OptionError, listed, nearest
from hpsearch.study.record import TrialRecord
from hpsearch.validators import is_number

_KEYS = ("name", "objective", "strategy", "threshold")
_STRATEGIES = ("optimize", "store", "constraint")
_OBJECTIVES = ("minimize", "maximize")


class Metrics:
    """The metrics of an experiment, in SigOpt's own form, and their values in a trial.

    Args:
        given: Names, or mappings as SigOpt has them. None is one metric, ``"objective"``, or
            one for each direction.
        directions: The search's directions; the optimised metrics stand for them, in order.

    Attributes:
        definitions: SigOpt's list of metrics.

    Raises:
        OptionError: A metric has not SigOpt's form, or they do not fit the directions.
    """

    def __init__(
        self, given: Sequence[str | Mapping[str, Any]] | None, directions: Sequence[str]
    ) -> None:
        if given is None:
            one = len(directions) == 1
            given = ["objective"] if one else [f"objective_{i}" for i in range(len(directions))]
        self.definitions = [_read(metric) for metric in given]
        names = [metric["name"] for metric in self.definitions]
        if len(set(names)) < len(names):
            raise OptionError(f"metrics has one name twice: {listed(names)}")
        self._optimised = [m for m in self.definitions if m["strategy"] == "optimize"]
        self._others = [m["name"] for m in self.definitions if m["strategy"] != "optimize"]
        if len(self._optimised) != len(directions):
            raise OptionError(
                f"metrics has {len(self._optimised)} to optimise "
                f"({listed(m['name'] for m in self._optimised)}), and the search has "
                f"{len(directions)} direction{'s' if len(directions) > 1 else ''}; each direction "
                "is one optimised metric, in order"
            )
        for metric, direction in zip(self._optimised, directions, strict=True):
            if metric.setdefault("objective", direction) != direction:
                raise OptionError(
                    f"metrics says {metric['objective']!r} for {metric['name']!r}, and direction "
                    f"says {direction!r}"
                )

    def missing(self, trial: TrialRecord) -> list[str]:
        """Return the names of the metrics that the trial says nothing of, beside its objective."""
        return [name for name in self._others if _said(trial, name) is None]

    def values(self, trial: TrialRecord) -> dict[str, float] | None:
        """Return every metric's value, None if the trial has not all of them.

        The objective of a pruned trial is what it reported last.
        """
        objectives = trial.objectives
        if objectives is None and trial.ended_well and trial.intermediate:
            objectives = trial.intermediate[max(trial.intermediate)]
        if objectives is None or not all(map(math.isfinite, objectives)) or self.missing(trial):
            return None
        names = [metric["name"] for metric in self._optimised]
        values = dict(zip(names, map(float, objectives), strict=True))
        for name in self._others:
            said = _said(trial, name)
            if said is not None:
                values[name] = said
        return values

    def split(self, values: Mapping[str, float]) -> tuple[tuple[float, ...], dict[str, float]]:
        """Return the objectives among every metric's values, and the others by name."""
        objectives = tuple(values[metric["name"]] for metric in self._optimised)
        return objectives, {name: values[name] for name in self._others}

    def constraints(self, trial: TrialRecord) -> dict[str, float]:
        """Return how far each metric with a threshold is beyond it; above 0 is not acceptable.

        A trial that does not say a metric is infinitely far beyond.
        """
        values = self.values(trial) or {}
        return {
            metric["name"]: _beyond(values.get(metric["name"]), metric)
            for metric in self.definitions
            if "threshold" in metric
        }


def optimised_names(metrics: object) -> tuple[str, ...] | None:
    """Return the names of the metrics to optimise, None where there are none.

    What has not SigOpt's form is refused when the experiment is made.
    """
    if not isinstance(metrics, Sequence) or isinstance(metrics, str):
        return None
    names = [
        metric if isinstance(metric, str) else metric.get("name")
        for metric in metrics
        if isinstance(metric, str)
        or (isinstance(metric, Mapping) and metric.get("strategy", "optimize") == "optimize")
    ]
    return tuple(map(str, names)) or None


def _read(given: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, str):
        return {"name": given, "strategy": "optimize"}
    if not isinstance(given, Mapping):
        raise OptionError(f"metrics has {given!r}, expected a name or a mapping with one")
    metric = {k: v for k, v in given.items() if v is not None and k != "object"}
    for key in metric:
        if key not in _KEYS:
            raise OptionError(
                f"metrics has a metric with {key!r}.{nearest(key, _KEYS)} "
                f"SigOpt's metrics have {listed(_KEYS)}"
            )
    name = metric.get("name")
    if not isinstance(name, str) or not name:
        raise OptionError(f"metrics has {dict(given)!r}, which has no name")
    metric.setdefault("strategy", "optimize")
    for key, known in (("strategy", _STRATEGIES), ("objective", _OBJECTIVES)):
        if key in metric and metric[key] not in known:
            raise OptionError(
                f"metrics: {key} of {name!r} is {metric[key]!r}.{nearest(str(metric[key]), known)}"
                f" Expected {listed(known)}"
            )
    if metric["strategy"] == "constraint" and not _is_number(metric.get("threshold")):
        raise OptionError(f"metrics: {name!r} is a constraint and needs a threshold, a number")
    return metric


def _said(trial: TrialRecord, name: str) -> float | None:
    """Return what a trial annotated under a metric's name, or its evaluation has under it."""
    evaluated = trial.attrs.get("metrics")
    for facts in (trial.attrs, evaluated if isinstance(evaluated, Mapping) else {}):
        for key in (name, f"eval_{name}"):  # as a Trainer calls it
            value: Any = facts.get(key)
            if _is_number(value):
                return float(value)
    return None


def _beyond(value: float | None, metric: Mapping[str, Any]) -> float:
    if value is None:
        return math.inf
    minimize = metric.get("objective", "maximize") == "minimize"
    return float(value - metric["threshold"] if minimize else metric["threshold"] - value)


def _is_number(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)
