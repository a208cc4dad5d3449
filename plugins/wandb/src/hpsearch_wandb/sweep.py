"""The sweep of a study: what the sweep config and the options say together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.errors import SpaceError
from hpsearch.validators import known_keys, number, one_of, optional_whole, whole
from hpsearch_wandb.options import METHODS

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_wandb.options import WandbOptions

logger = logging.getLogger("hpsearch")

_ETA = 3
"""W&B's default for the share of runs that go on: one of so many."""

_HYPERBAND = ("type", "min_iter", "max_iter", "s", "eta", "strict")
_METRIC = ("name", "goal", "target", "impute", "impute_while_running")
_IMPUTE = ("latest", "best", "worst")
_WORDS = {
    "goal": ("minimize", "maximize"),
    "impute": _IMPUTE,
    "impute_while_running": (*_IMPUTE, "false"),
}
"""What the metric's sections can say, where that is a word."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A W&B sweep config without open questions.

    Attributes:
        config: The whole config but its ``parameters``, as ``wandb.sweep`` takes it: with method,
            metric and goal settled.
        parameters: The user's own ``parameters``, or None where the space was not written for W&B.
        project: The project, None for W&B's default.
        entity: The entity, None for W&B's default.
    """

    config: Mapping[str, Any]
    parameters: Mapping[str, Any] | None
    project: str | None
    entity: str | None

    @property
    def method(self) -> str:
        """``"random"``, ``"grid"`` or ``"bayes"``."""
        return str(self.config["method"])

    @property
    def metric(self) -> str:
        """The name under which the objective is reported."""
        return str(self.config["metric"]["name"])

    @property
    def report_name(self) -> str:
        """The name under which reports are logged into a run's history.

        W&B takes the best of all values under the metric's name for what the run achieved. The
        objective is to be that, so reports have the name only where W&B's rule stops runs by it.
        """
        return self.metric if self.early_terminate is not None else f"{self.metric}/report"

    @property
    def early_terminate(self) -> Mapping[str, Any] | None:
        """The rule by which W&B stops bad trials, None where there is none."""
        rule: Mapping[str, Any] | None = self.config.get("early_terminate")
        return rule

    @classmethod
    def of(cls, study: Study, options: WandbOptions) -> Sweep:
        """Settle the sweep of a study: options before the config, ``direction`` before the goal.

        Raises:
            SpaceError: The config asks for something that no W&B sweep has.
        """
        native = study.native_space if isinstance(study.native_space, Mapping) else {}
        config: dict[str, Any] = deepcopy(dict(native))
        parameters = config.pop("parameters", None)
        if "grid" in (config.get("method"), options.method) and options.method is not None:
            # To a grid the same words say other values; it is given those that were read.
            parameters = parameters if config.get("method") == options.method else None
        _override(config, "method", options.method)
        _override(config, "early_terminate", options.early_terminate)
        config.setdefault("method", "random")
        metric = config["metric"] = _metric(config.get("metric"))
        _override(metric, "name", options.metric, "metric")
        metric.setdefault("name", "objective")
        (direction,) = study.directions
        metric["goal"] = direction
        if study.name != "study":
            config.setdefault("name", study.name)
        _check(config)
        return cls(
            config,
            parameters,
            options.project or config.get("project"),
            options.entity or config.get("entity"),
        )

    def obey_cap(self, study: Study) -> None:
        """Start no more trials once there are as many as the sweep's ``run_cap``."""
        cap = self.config.get("run_cap")
        if cap is not None and len(study.trials) >= cap:
            study.history.request_stop(f"the sweep's run_cap of {cap} was reached")

    def stop_at_target(self, study: Study, trial: TrialRecord) -> None:
        """Start no more trials once one has reached the metric's ``target``."""
        target = self.config["metric"].get("target")
        if target is None or trial.objectives is None:
            return
        (objective,) = trial.objectives
        minimize = self.config["metric"]["goal"] == "minimize"
        if objective <= target if minimize else objective >= target:
            study.history.request_stop(f"trial {trial.number} reached the target {target}")


def _metric(given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise SpaceError(f"the sweep's metric is {given!r}, expected {{'name': 'objective'}}")
    known_keys("the sweep's metric", given, _METRIC, error=SpaceError)
    for key, kind in (("name", str), ("target", int | float)):
        if key in given and not isinstance(given[key], kind):
            raise SpaceError(f"the {key} of the sweep's metric is {given[key]!r}")
    for key, words in _WORDS.items():
        if key in given:
            one_of(f"the {key} of the sweep's metric", given[key], words, error=SpaceError)
    return dict(given)


def _override(config: dict[str, Any], key: str, option: Any, name: str | None = None) -> None:
    if option is None:
        return
    if config.get(key, option) != option:
        logger.warning(
            "%s=%r counts, and the sweep config's %r does not", name or key, option, config[key]
        )
    config[key] = dict(option) if isinstance(option, Mapping) else option


def _check(config: Mapping[str, Any]) -> None:
    method = config["method"]
    one_of("the sweep's method", method, METHODS, error=SpaceError)
    optional_whole("the sweep's run_cap", config.get("run_cap"), 1, error=SpaceError)
    rule = config.get("early_terminate")
    if rule is not None:
        _check_hyperband(rule)


def _check_hyperband(rule: object) -> None:
    if not isinstance(rule, Mapping) or rule.get("type") != "hyperband":
        raise SpaceError(f"early_terminate is {rule!r}, expected {{'type': 'hyperband', ...}}")
    known_keys("early_terminate", rule, _HYPERBAND, error=SpaceError)
    if not ("min_iter" in rule or {"max_iter", "s"} <= rule.keys()):
        raise SpaceError("early_terminate needs 'min_iter', or 'max_iter' and 's'")
    for key in ("min_iter", "max_iter", "s"):
        if key in rule:
            whole(f"early_terminate's {key!r}", rule[key], 1, error=SpaceError)
    eta = number("early_terminate's 'eta'", rule.get("eta", _ETA), above=1, error=SpaceError)
    if rule.get("max_iter", eta) < eta:
        raise SpaceError(
            f"early_terminate's 'max_iter' is {rule['max_iter']!r} and its 'eta' {eta!r}: it would "
            "look at no report; raise max_iter"
        )
