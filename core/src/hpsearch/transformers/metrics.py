"""From the metrics of an evaluation to the objective and the constraints of a trial."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hpsearch.errors import ArgumentError, listed, nearest
from hpsearch.space.thresholds import Threshold, bare_name
from hpsearch.study.outcome import TrialState
from hpsearch.study.trial import as_float, as_floats
from hpsearch.validators import mapping, number, one_of

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments

    from hpsearch.study.record import TrialRecord

logger = logging.getLogger("hpsearch")

ComputeObjective: TypeAlias = Callable[[dict[str, Any]], Any]
"""Takes the metrics of one evaluation; returns a number, or one for each direction."""

ObjectiveFrom: TypeAlias = Literal["last", "best"]

_LOSS = re.compile(r"^eval_(\w+_)?loss$")
"""The loss of the evaluation, or one for each evaluation set."""

_COST = re.compile(r"_(runtime|per_second|time)$|(^|_)mem_(cpu|gpu)")
"""The names under which a Trainer reports what an evaluation cost: time and memory."""


# By no name: the default objective.


def default_objective(metrics: Mapping[str, Any]) -> float:
    """Return the evaluation loss, or the sum of the other metrics where there are any.

    The rule is the one of ``transformers.trainer_utils.default_compute_objective``; what the
    evaluation cost (times, speeds, memory) never counts, and no loss of one of several evaluation
    sets does where there are other metrics.

    Raises:
        ArgumentError: There is no metric at all, or one is not a number.
    """
    counted = counted_metrics(metrics)
    for name in counted:
        if not isinstance(metrics[name], Real):
            raise ArgumentError(
                f"the default objective sums the metrics, and {name!r} is {metrics[name]!r}; give "
                "compute_objective the name of one metric"
            )
    return float(sum(metrics[name] for name in counted))


def counted_metrics(metrics: Mapping[str, Any]) -> list[str]:
    """Return the names that the default objective sums.

    Raises:
        ArgumentError: There are none.
    """
    names = [name for name in metrics if name != "epoch" and not _COST.search(name)]
    others = [name for name in names if not _is_loss(name, metrics)]
    if not names:
        raise ArgumentError(
            f"the evaluation gave {listed(metrics)}, and none of these can be an objective; the "
            "model returns no loss, so give the Trainer compute_metrics"
        )
    return others or names


def _is_loss(name: str, metrics: Mapping[str, Any]) -> bool:
    """Whether a metric is the loss of the evaluation, or of one of several evaluation sets.

    ``eval_hamming_loss`` is a metric like others, unless there is an evaluation set ``hamming``:
    then other metrics begin like it.
    """
    if name == "eval_loss":
        return True
    prefix = name.removesuffix("loss")
    return bool(_LOSS.search(name)) and any(
        other.startswith(prefix) for other in metrics if other != name
    )


def best_metric(args: TrainingArguments) -> str | None:
    """Return the ``metric_for_best_model`` that the user set, None where there is none.

    Where ``load_best_model_at_end`` or the schedule needs one and none is given, transformers
    writes ``"loss"`` there: that says nothing of what is to be searched for.
    """
    name: str | None = args.metric_for_best_model
    written = args.load_best_model_at_end or args.lr_scheduler_type == "reduce_lr_on_plateau"
    return None if name == "loss" and written else name


def is_best_metric(name: str, args: TrainingArguments) -> bool:
    """Whether a name means the metric of :func:`best_metric`."""
    best = best_metric(args)
    return best is not None and bare_name(best) == bare_name(name)


def best_direction(args: TrainingArguments) -> str | None:
    """Return the direction of :func:`best_metric`, None where the arguments do not say."""
    if best_metric(args) is None or args.greater_is_better is None:
        return None
    return "maximize" if args.greater_is_better else "minimize"


def scalars(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return those metrics that a trial's record can have: numbers, texts, flags and None."""
    found = {
        name: value.item() if getattr(value, "ndim", None) == 0 else value
        for name, value in metrics.items()
    }
    return {
        name: value
        for name, value in found.items()
        if value is None or isinstance(value, bool | int | float | str)
    }


# By name.


def find_metric(name: str, metrics: Mapping[str, Any]) -> str | None:
    """Return the metric that a name means, None if there is none.

    Names may go without the Trainer's ``eval_`` in front, as in ``metric_for_best_model``, and be
    written as W&B shows them, ``eval/f1``.
    """
    return next((known for known in (name, f"eval_{bare_name(name)}") if known in metrics), None)


def _value(said_by: str, name: str, metrics: Mapping[str, Any]) -> tuple[str, float]:
    """Return a metric's full name and its value.

    Raises:
        ArgumentError: There is no such metric, or it is not a number.
    """
    found = find_metric(name, metrics)
    if found is None:
        raise ArgumentError(f"{said_by} names {name!r}, and {_what_there_is(name, metrics)}")
    try:
        return found, as_float(metrics[found])
    except TypeError as error:
        raise ArgumentError(f"{said_by} names {name!r}: {error}") from error


def _what_there_is(name: str, metrics: Mapping[str, Any]) -> str:
    known = sorted(metric for metric in metrics if metric != "epoch")
    close = nearest(name, known) or nearest(f"eval_{name}", known)
    return f"the evaluation has {listed(known)}.{close}"


@dataclass(frozen=True, slots=True)
class Named:
    """An objective that is one metric, or several for as many directions.

    Attributes:
        names: Their names, as :func:`find_metric` takes them.
        said_by: Where the names come from, for messages.
    """

    names: tuple[str, ...]
    said_by: str

    def __call__(self, metrics: Mapping[str, Any]) -> tuple[float, ...]:
        """Return the metrics' values.

        Raises:
            ArgumentError: There is no such metric, or it is not a number.
        """
        return tuple(_value(self.said_by, name, metrics)[1] for name in self.names)

    def __str__(self) -> str:
        return " and ".join(self.names)


def _as_function(given: object) -> ComputeObjective | Named | None:
    if given is None or callable(given):
        return given
    names = (given,) if isinstance(given, str) else given
    if (
        isinstance(names, Sequence)
        and names
        and all(isinstance(name, str) and name for name in names)
    ):
        return Named(tuple(names), "compute_objective")
    raise ArgumentError(
        f"compute_objective is {given!r}, expected a function of the metrics, the name of a "
        "metric, or a list of names, one for each direction"
    )


# Constraints.


@dataclass(frozen=True, slots=True)
class Limit:
    """What a metric may be at most, or at least."""

    bound: float
    is_upper: bool


def at_most(bound: float) -> Limit:
    """Return a limit for ``constraints``: the metric is to be this or less.

    Raises:
        ArgumentError: The bound is not a finite number.
    """
    return Limit(number("at_most", bound), is_upper=True)


def at_least(bound: float) -> Limit:
    """Return a limit for ``constraints``: the metric is to be this or more.

    Raises:
        ArgumentError: The bound is not a finite number.
    """
    return Limit(number("at_least", bound), is_upper=False)


def as_thresholds(constraints: object) -> tuple[Threshold, ...]:
    """Return the limits of metrics in the core's terms.

    Raises:
        ArgumentError: They are not limits of metrics, or two are for one metric.
    """
    kind = "a mapping of metrics to limits, such as {'eval_runtime': at_most(10.0)}"
    limits = {} if constraints is None else mapping("constraints", constraints, kind=kind)
    names: dict[str, str] = {}
    for name, limit in limits.items():
        if not isinstance(name, str) or not isinstance(limit, Limit):
            raise ArgumentError(f"constraints has {name!r}: {limit!r}, expected {kind}")
        other = names.setdefault(bare_name(name), name)
        if other != name:
            raise ArgumentError(f"constraints has {other!r} and {name!r}, which are one metric")
    return tuple(Threshold(n, limit.bound, at_most=limit.is_upper) for n, limit in limits.items())


class Objective:
    """What a search optimises: the objective, its directions, and which evaluation counts.

    Without ``compute``, it is the metric that the space names (the metric of a W&B sweep or a
    SigOpt experiment), if the evaluation has it; else the Trainer's ``metric_for_best_model``,
    where that is set; else :func:`default_objective`.

    Args:
        compute: From the metrics to a number or several; or the name of a metric, or several.
        taken_from: ``"last"`` evaluation of the trial, or the ``"best"`` one; None for the best
            where the Trainer's arguments have ``load_best_model_at_end``, else the last.
        thresholds: Bounds of metrics, which evaluations must have.
        direction_said: Whether the user said in which direction, by whatever means.

    Raises:
        ArgumentError: ``taken_from`` is something else, or ``compute`` is neither a function nor
            names.
    """

    def __init__(
        self,
        compute: ComputeObjective | str | Sequence[str] | None,
        taken_from: ObjectiveFrom | None,
        thresholds: Sequence[Threshold] = (),
        *,
        direction_said: bool = True,
    ) -> None:
        if taken_from is not None:
            one_of("objective_from", taken_from, ("last", "best"))
        self.compute = _as_function(compute)
        self.taken_from = taken_from
        self.directions: tuple[str, ...] = ("minimize",)
        self._of_the_space: Named | None = None
        self._direction_said = direction_said
        self._bounded = [threshold.metric for threshold in thresholds]
        self._warned: set[str] = set()
        self._said_choice = False

    def take_part(self, directions: Sequence[str], metrics: Sequence[str] | None) -> None:
        """Take the study's directions, and the metrics that its space names.

        Raises:
            ArgumentError: There is not one name for each direction, or the best of several
                objectives is asked for.
        """
        self.directions = tuple(directions)
        self._of_the_space = (
            None if metrics is None else Named(tuple(metrics), "the sweep or experiment")
        )
        self._warned.clear()
        self._said_choice = False
        if self.taken_from == "best" and len(directions) > 1:
            raise ArgumentError(
                f"objective_from='best' needs one direction, and there are {len(directions)}; "
                "with objective_from='last' each trial's last evaluation counts"
            )
        by_default = 1 if metrics is None else len(metrics)
        if self.compute is None and len(directions) != by_default:
            raise ArgumentError(
                f"the search has {len(directions)} directions, and by default the objective is "
                f"{listed(metrics) if metrics else 'one number'}; give compute_objective= a list "
                "of metrics, one for each direction"
            )
        if isinstance(self.compute, Named) and len(self.compute.names) != len(directions):
            raise ArgumentError(
                f"compute_objective names {listed(self.compute.names)}, and the search has "
                f"{len(directions)} direction{'s' if len(directions) > 1 else ''}; give "
                "direction= a list with one for each name"
            )

    def check_thresholds(self, thresholds: Sequence[Threshold]) -> None:
        """Refuse a threshold of an objective that is another metric here.

        Raises:
            ArgumentError: The space bounds the metric that it optimises, and the search optimises
                another one.
        """
        for threshold in thresholds:
            index = threshold.objective
            if index is None or not isinstance(self.compute, Named):
                continue
            if bare_name(threshold.metric) != bare_name(self.compute.names[index]):
                raise ArgumentError(
                    f"the metrics of the search have a threshold for {threshold.metric!r}, which "
                    f"they optimise, and compute_objective names {self.compute.names[index]!r}; "
                    "leave out compute_objective, or limit the metric by constraints="
                )

    def announce(self, trainer: Trainer | None, metrics: Mapping[str, Any] | None) -> None:
        """Say, before the first trial, what is optimised.

        Args:
            trainer: The Trainer; None if only each trial's factory will show it.
            metrics: What an evaluation gave, where that is known.
        """
        what, chosen = self._what(trainer, metrics)
        if not self._direction_said and self._of_the_space is None and not what.endswith("loss"):
            chosen = False  # a metric to minimize, by default
        # Where nobody chose it, it is said so that it is seen without any setting.
        logger.log(
            logging.INFO if chosen else logging.WARNING,
            "objective: %s, %s, of each trial's %s evaluation",
            what,
            " and ".join(self.directions),
            "best" if self._takes_best_of(trainer) else "last",
        )
        if trainer is not None:
            self._check_direction(trainer.args)
            self.announce_choice(trainer.args)

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

    def _takes_best_of(self, trainer: Trainer | None) -> bool:
        return self.takes_best(trainer is not None and trainer.args.load_best_model_at_end)

    def _what(self, trainer: Trainer | None, metrics: Mapping[str, Any] | None) -> tuple[str, bool]:
        """Return what the objective is, and whether anybody chose it."""
        if self.compute is not None and not isinstance(self.compute, Named):
            return getattr(self.compute, "__qualname__", repr(self.compute)), True
        named = None if trainer is None else self._named(metrics or {}, trainer.args)
        if named is not None or self.compute is not None:
            return str(named or self.compute), True
        if trainer is None:
            return "eval_loss, or the sum of what compute_metrics returns", False
        if trainer.compute_metrics is None:
            return "eval_loss", False
        measured_by = getattr(trainer, "measured_by", "compute_metrics")
        return f"the sum of what {measured_by} returns", False

    def wants_preview(self, trainer: Trainer) -> bool:
        """Whether it helps to know the metrics before the first training."""
        if self._bounded or self._of_the_space is not None:
            return True
        if self.compute is not None and not isinstance(self.compute, Named):
            # It may gather what it sees, so it is called only where that saves a whole training.
            return trainer.args.eval_strategy == "no"
        named = self._named({}, trainer.args)
        return named is not None or self.directions == ("maximize",)

    def check(self, metrics: Mapping[str, Any], trainer: Trainer) -> None:
        """Refuse a name that an evaluation does not have.

        Raises:
            ArgumentError: Naming it, and those that there are.
        """
        self.check_bounded(metrics)
        named = self._named(metrics, trainer.args)
        if named is not None:
            named(metrics)
        elif self.compute is None:
            self._sums(metrics, trainer)
        else:
            try:
                self._computed(metrics)
            except KeyError:
                return  # of something else
            except ArgumentError:
                raise
            except Exception:  # noqa: BLE001 - a trial will show what is wrong with it
                return

    def check_continued(self, trials: Iterable[TrialRecord], trainer: Trainer | None) -> None:
        """Refuse to go on with a study whose trials were judged by another metric.

        Raises:
            ArgumentError: A trial's objective is not the metric that is named now.
        """
        for trial in trials:
            metrics = trial.attrs.get("metrics")
            if trial.state is not TrialState.COMPLETE or metrics is None:
                continue
            named = self.compute if trainer is None else self._named(metrics, trainer.args)
            if not isinstance(named, Named):
                continue
            found = [find_metric(name, metrics) for name in named.names]
            if None not in found and [metrics[n] for n in found] != list(trial.objectives or ()):
                raise ArgumentError(
                    f"the objective is {named}, which trial {trial.number} of this study was not "
                    "judged by: the two cannot be compared. Go on with the objective that the "
                    "study has, or begin another study"
                )

    def of(self, metrics: Mapping[str, Any], trainer: Trainer) -> tuple[float, ...]:
        """Return the objective values of one evaluation.

        Args:
            metrics: What the evaluation returned.
            trainer: The Trainer. Where it has no ``compute_metrics``, the loss counts alone by
                default, whatever else a Trainer class measures by itself (TRL's: tokens, entropy).

        Raises:
            ArgumentError: The metrics do not have what is asked for.
            TypeError: ``compute_objective`` returned something that is not a number.
        """
        named = self._named(metrics, trainer.args)
        if named is not None:
            self._check_direction(trainer.args)
            return named(metrics)
        if self.compute is not None:
            return self._computed(metrics)
        return (default_objective(self._sums(metrics, trainer)),)

    def check_bounded(self, metrics: Mapping[str, Any]) -> None:
        """Refuse a bound of a metric that an evaluation does not have.

        Raises:
            ArgumentError: There is no such metric, or it is not a number.
        """
        for name in self._bounded:
            _value("constraints", name, metrics)

    def takes_best(self, loads_best: bool) -> bool:
        """Whether the best evaluation counts, given ``load_best_model_at_end``."""
        return loads_best if self.taken_from is None else self.taken_from == "best"

    def better(self, values: tuple[float, ...], than: tuple[float, ...]) -> bool:
        """Whether one objective beats another in the only direction; NaN beats nothing."""
        if than[0] != than[0]:
            return values[0] == values[0]
        return values[0] > than[0] if self.directions[0] == "maximize" else values[0] < than[0]

    # Which objective it is.

    def _named(self, metrics: Mapping[str, Any], args: TrainingArguments) -> Named | None:
        """Return the metrics that are the objective; None where no name says it."""
        if self.compute is not None:
            return self.compute if isinstance(self.compute, Named) else None
        named = self._of_the_space
        if named is not None and any(_is_evaluation_metric(n, metrics) for n in named.names):
            return named
        best = best_metric(args)
        if best is None or len(self.directions) > 1:
            return None
        return Named((best,), "metric_for_best_model")

    def _computed(self, metrics: Mapping[str, Any]) -> tuple[float, ...]:
        assert self.compute is not None
        try:
            return as_floats(self.compute(dict(metrics)))
        except KeyError as error:
            asked = error.args[0] if error.args else None
            if not isinstance(asked, str) or asked in metrics:
                raise
            there = _what_there_is(asked, metrics)
            raise ArgumentError(f"compute_objective asks for {asked!r}, and {there}") from error

    def _sums(self, metrics: Mapping[str, Any], trainer: Trainer) -> Mapping[str, Any]:
        """Return the metrics from which the default objective is made, and warn of a bad one."""
        losses = {name: metrics[name] for name in metrics if _LOSS.search(name)}
        if trainer.compute_metrics is None:
            metrics = losses or metrics
        counted = counted_metrics(metrics)
        if len(counted) > 1:
            self._warn_once(
                f"the default objective is the sum of {listed(counted)}, to {self.directions[0]}; "
                f"to choose one, give compute_objective={counted[0]!r}"
            )
        if self.directions[0] == "maximize" and losses.keys() >= set(counted):
            self._warn_once(
                f"direction is 'maximize' and the objective is {' + '.join(counted)}, since the "
                "evaluation has no other metric: the search looks for the largest loss"
            )
        return metrics

    def _check_direction(self, args: TrainingArguments) -> None:
        """Warn once where the direction is not the one of ``metric_for_best_model``."""
        named, direction = self._named({}, args), best_direction(args)
        if direction is None or named is None or not is_best_metric(named.names[0], args):
            return
        if len(self.directions) == 1 and direction != self.directions[0]:
            if not self._direction_said and self._of_the_space is None:  # a factory's Trainer
                raise ArgumentError(
                    f"the Trainer's metric_for_best_model is {args.metric_for_best_model!r} with "
                    f"greater_is_better={args.greater_is_better}, which is not known before "
                    f"trainer_factory builds it: give direction={direction!r}"
                )
            self._warn_once(
                f"direction is {self.directions[0]!r}, and the Trainer's metric_for_best_model is "
                f"{args.metric_for_best_model!r} with greater_is_better={args.greater_is_better}; "
                "the direction counts"
            )

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            warnings.warn(text, stacklevel=3)


def _is_evaluation_metric(name: str, metrics: Mapping[str, Any]) -> bool:
    return name.startswith(("eval/", "eval_")) or find_metric(name, metrics) is not None
