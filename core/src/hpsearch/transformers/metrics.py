"""From the metrics of an evaluation to the objective of a trial."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal, TypeAlias

from transformers import TrainingArguments

from hpsearch.errors import ArgumentError, listed
from hpsearch.study.trial import as_floats
from hpsearch.validators import one_of

logger = logging.getLogger("hpsearch")

ComputeObjective: TypeAlias = Callable[[dict[str, Any]], Any]
"""Takes the metrics of one evaluation; returns a number, or one for each direction."""

ObjectiveFrom: TypeAlias = Literal["last", "best"]

_LOSS = re.compile(r"^eval_(\w+_)?loss$")
"""The loss of the evaluation, or one for each evaluation set."""

_COST = re.compile(r"_(runtime|per_second|time)$|(^|_)mem_(cpu|gpu)")
"""The names under which a Trainer reports what an evaluation cost: time and memory."""


def default_objective(metrics: Mapping[str, Any]) -> float:
    """Return the evaluation loss, or the sum of the other metrics where there are any.

    The rule is the one of ``transformers.trainer_utils.default_compute_objective``; what the
    evaluation cost (times, speeds, memory) never counts.

    Raises:
        ArgumentError: There is no metric at all, or one is not a number.
    """
    counted = counted_metrics(metrics)
    for name in counted:
        if not isinstance(metrics[name], Real):
            raise ArgumentError(
                f"the default objective sums the metrics, and {name!r} is {metrics[name]!r}; give "
                "compute_objective=lambda metrics: metrics['...']"
            )
    return float(sum(metrics[name] for name in counted))


def counted_metrics(metrics: Mapping[str, Any]) -> list[str]:
    """Return the names that the default objective sums.

    Raises:
        ArgumentError: There are none.
    """
    names = [name for name in metrics if name != "epoch" and not _COST.search(name)]
    others = [name for name in names if name != "eval_loss"]
    if not names:
        raise ArgumentError(
            f"the evaluation gave {listed(metrics)}, and none of these can be an objective; the "
            "model returns no loss, so give the Trainer compute_metrics"
        )
    return others or names


class Objective:
    """What a search optimises: the objective, its directions, and which evaluation counts.

    Args:
        compute: From the metrics to a number or several; None for :func:`default_objective`.
        taken_from: ``"last"`` evaluation of the trial, or the ``"best"`` one; None for the best
            where the Trainer's arguments have ``load_best_model_at_end``, else the last.

    Raises:
        ArgumentError: ``taken_from`` is something else, or ``compute`` cannot be called.
    """

    def __init__(self, compute: ComputeObjective | None, taken_from: ObjectiveFrom | None) -> None:
        if taken_from is not None:
            one_of("objective_from", taken_from, ("last", "best"))
        if compute is not None and not callable(compute):
            raise ArgumentError(
                f"compute_objective is {compute!r}, expected a function of the metrics"
            )
        self.compute = compute
        self.taken_from = taken_from
        self.directions: tuple[str, ...] = ("minimize",)
        self._warned = False
        self._said_choice = False

    def announce(
        self, directions: Sequence[str], has_metrics: bool | None, loads_best: bool | None = None
    ) -> None:
        """Take the study's directions and say, before the first trial, what is optimised.

        Args:
            directions: One for each objective.
            has_metrics: Whether the Trainer has ``compute_metrics``; None if only each trial's
                Trainer will show.
            loads_best: Whether its arguments have ``load_best_model_at_end``; None likewise.

        Raises:
            ArgumentError: The best of several objectives is asked for.
        """
        self.directions = tuple(directions)
        self._warned = self._said_choice = False
        if self.taken_from == "best" and len(directions) > 1:
            raise ArgumentError(
                f"objective_from='best' needs one direction, and there are {len(directions)}; "
                "with objective_from='last' each trial's last evaluation counts"
            )
        if self.compute is not None:
            what = getattr(self.compute, "__qualname__", repr(self.compute))
        elif has_metrics:
            what = "the sum of what compute_metrics returns"
        elif has_metrics is None:
            what = "eval_loss, or the sum of what compute_metrics returns"
        else:
            what = "eval_loss"
            if directions[0] == "maximize":
                warnings.warn(
                    "direction is 'maximize' and the objective is eval_loss, since the Trainer has "
                    "no compute_metrics: the search looks for the largest loss",
                    stacklevel=2,
                )
        # Where nobody chose it, it is said so that it is seen without any setting.
        logger.log(
            logging.WARNING if self.compute is None else logging.INFO,
            "objective: %s, %s, of each trial's %s evaluation",
            what,
            " and ".join(directions),
            "best" if self.takes_best(bool(loads_best)) else "last",
        )

    def announce_choice(self, args: TrainingArguments) -> None:
        """Say once that ``load_best_model_at_end`` decides which evaluation counts, if it does."""
        if self.taken_from is not None or not args.load_best_model_at_end or self._said_choice:
            return
        self._said_choice = True
        by = "the objective" if len(self.directions) == 1 else f"{args.metric_for_best_model!r}"
        logger.warning(
            "load_best_model_at_end is set: of each trial's evaluations the best by %s counts; "
            "objective_from='last' takes the last",
            by,
        )

    def of(self, metrics: Mapping[str, Any], has_metrics: bool) -> tuple[float, ...]:
        """Return the objective values of one evaluation.

        Args:
            metrics: What the evaluation returned.
            has_metrics: Whether the Trainer has ``compute_metrics``. Without it, the loss counts
                alone, whatever else a Trainer class measures by itself (TRL's: tokens, entropy).

        Raises:
            ArgumentError: The default objective finds no number in the metrics.
            TypeError: ``compute_objective`` returned something that is not a number.
        """
        if self.compute is not None:
            return as_floats(self.compute(dict(metrics)))
        if not has_metrics:
            metrics = {name: metrics[name] for name in metrics if _LOSS.search(name)} or metrics
        counted = counted_metrics(metrics)
        if len(counted) > 1 and not self._warned:
            self._warned = True
            warnings.warn(
                f"the default objective is the sum of {listed(counted)}, to {self.directions[0]}; "
                "to choose one, give compute_objective=lambda metrics: metrics['...']",
                stacklevel=2,
            )
        return (default_objective(metrics),)

    def takes_best(self, loads_best: bool) -> bool:
        """Whether the best evaluation counts, given ``load_best_model_at_end``."""
        return loads_best if self.taken_from is None else self.taken_from == "best"

    def better(self, values: tuple[float, ...], than: tuple[float, ...]) -> bool:
        """Whether one objective beats another in the only direction; NaN beats nothing."""
        if than[0] != than[0]:
            return values[0] == values[0]
        return values[0] > than[0] if self.directions[0] == "maximize" else values[0] < than[0]
