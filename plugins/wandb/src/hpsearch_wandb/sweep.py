"""The sweep of a study: what the sweep config and the options say together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.errors import SpaceError, listed, nearest
from hpsearch_wandb.options import METHODS

if TYPE_CHECKING:
    from hpsearch.study import Study
    from hpsearch_wandb.options import WandbOptions

logger = logging.getLogger("hpsearch")

_HYPERBAND = ("type", "min_iter", "max_iter", "s", "eta", "strict")


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
        _override(config, "method", options.method)
        _override(config, "early_terminate", options.early_terminate)
        config.setdefault("method", "random")
        metric = config["metric"] = dict(config.get("metric") or {})
        _override(metric, "name", options.metric, "metric")
        metric.setdefault("name", "objective")
        (direction,) = study.directions
        if metric.get("goal", direction) != direction:
            logger.warning(
                "the sweep config's goal is %r and the search's direction is %r, which counts",
                metric["goal"],
                direction,
            )
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
    if method not in METHODS:
        raise SpaceError(
            f"the sweep's method is {method!r}, expected one of {listed(METHODS)}."
            f"{nearest(str(method), METHODS)}"
        )
    rule = config.get("early_terminate")
    if rule is not None:
        _check_hyperband(rule)


def _check_hyperband(rule: object) -> None:
    if not isinstance(rule, Mapping) or rule.get("type") != "hyperband":
        raise SpaceError(f"early_terminate is {rule!r}, expected {{'type': 'hyperband', ...}}")
    for key in rule:
        if key not in _HYPERBAND:
            raise SpaceError(
                f"early_terminate has no {key!r}.{nearest(str(key), _HYPERBAND)} "
                f"It has {listed(_HYPERBAND)}"
            )
    if not ("min_iter" in rule or {"max_iter", "s"} <= rule.keys()):
        raise SpaceError("early_terminate needs 'min_iter', or 'max_iter' and 's'")
