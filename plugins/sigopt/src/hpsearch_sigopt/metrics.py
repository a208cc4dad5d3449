"""An experiment's metrics: which stand for the objective, and what a trial says of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.errors import OptionError, brief, listed
from hpsearch.space.thresholds import Threshold
from hpsearch.study.record import TrialRecord
from hpsearch.validators import is_finite, items, known_keys, one_of

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
        OptionError: A metric does not have SigOpt's form, or they do not fit the directions.
    """

    def __init__(
        self, given: Sequence[str | Mapping[str, Any]] | None, directions: Sequence[str]
    ) -> None:
        if given is None:
            one = len(directions) == 1
            given = ["objective"] if one else [f"objective_{i}" for i in range(len(directions))]
        self.definitions = read_metrics(given)
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
        """Return the names of the metrics that the trial says nothing of."""
        return [name for name in self._others if trial.metric(name) is None]

    def values(self, trial: TrialRecord) -> dict[str, float] | None:
        """Return every metric's value, None if the trial does not have all of them."""
        if trial.result is None or not all(map(math.isfinite, trial.result)):
            return None
        names = [metric["name"] for metric in self._optimised]
        values = dict(zip(names, map(float, trial.result), strict=True))
        for name in self._others:
            value = trial.metric(name)
            if value is None:
                return None
            values[name] = value
        return values

    def split(self, values: Mapping[str, float]) -> tuple[tuple[float, ...], dict[str, float]]:
        """Return the objectives among every metric's values, and the others by name."""
        objectives = tuple(values[metric["name"]] for metric in self._optimised)
        return objectives, {name: values[name] for name in self._others}

    @property
    def thresholds(self) -> list[Threshold]:
        """The thresholds of the metrics, in the core's terms."""
        objectives = {metric["name"]: index for index, metric in enumerate(self._optimised)}
        return [
            Threshold(
                metric["name"],
                float(metric["threshold"]),
                at_most=metric.get("objective", "maximize") == "minimize",
                objective=objectives.get(metric["name"]),
            )
            for metric in self.definitions
            if "threshold" in metric
        ]


def read_metrics(given: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return metrics in SigOpt's full form.

    Raises:
        OptionError: A metric does not have SigOpt's form, or a name is there twice.
    """
    definitions = [_read(metric) for metric in items("metrics", given, error=OptionError)]
    names = [metric["name"] for metric in definitions]
    if len(set(names)) < len(names):
        raise OptionError(f"metrics has one name twice: {listed(names)}")
    return definitions


def optimised_names(metrics: object) -> tuple[str, ...] | None:
    """Return the names of the metrics to optimise, None where there are none.

    What does not have SigOpt's form is refused when the experiment is made.
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
    known_keys("metrics: a metric", metric, _KEYS, error=OptionError)
    name = metric.get("name")
    if not isinstance(name, str) or not name:
        raise OptionError(f"metrics has {dict(given)!r}, which has no name")
    metric.setdefault("strategy", "optimize")
    for key, words in (("strategy", _STRATEGIES), ("objective", _OBJECTIVES)):
        if key in metric:
            one_of(f"metrics: {key} of {name!r}", metric[key], words, error=OptionError)
    threshold = metric.get("threshold")
    if metric["strategy"] == "constraint" and threshold is None:
        raise OptionError(f"metrics: {name!r} is a constraint and needs a threshold, a number")
    if threshold is not None and not is_finite(threshold):
        raise OptionError(
            f"metrics: threshold of {name!r} is {brief(threshold)}, expected a finite number"
        )
    return metric
