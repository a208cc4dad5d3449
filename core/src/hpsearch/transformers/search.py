"""``hyperparameter_search`` for any Trainer, and the switch that makes it the Trainer's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import Trainer, TrainingArguments

from hpsearch.errors import ArgumentError
from hpsearch.session.api import search
from hpsearch.space.dialects import OverruledGoals
from hpsearch.study.study import BestRun, Study
from hpsearch.transformers.applied import (
    AppliedObjective,
    AppliesHyperparameters,
    applies_hyperparameters,
)
from hpsearch.transformers.build import TrainerFactory, check_only_source
from hpsearch.transformers.checkpoints import CheckpointKeeper
from hpsearch.transformers.metrics import (
    ComputeObjective,
    Limit,
    ObjectiveFrom,
    best_direction,
    is_best_metric,
)
from hpsearch.transformers.objective import TrainerObjective
from hpsearch.transformers.ranks.launch import processes
from hpsearch.transformers.ranks.search import check_alone, search_together
from hpsearch.transformers.repeats import Repeats, check_repeats
from hpsearch.transformers.snapshot import freeze_gc
from hpsearch.transformers.tracked import SpaceFunction
from hpsearch.transformers.upstream import (
    DEFAULT_DIRECTION,
    DEFAULT_SPACE,
    backend_name,
    direction_given,
    translated,
)
from hpsearch.validators import number

logger = logging.getLogger("hpsearch")


def hyperparameter_search(  # noqa: PLR0917 - upstream takes these by position
    trainer: Trainer | AppliesHyperparameters | None = None,
    hp_space: Any = None,
    compute_objective: ComputeObjective | str | Sequence[str] | None = None,
    n_trials: int | None = 20,
    direction: str | Sequence[str] | None = DEFAULT_DIRECTION,
    backend: Any = None,
    hp_name: Callable[[Any], str] | None = None,
    *,
    trainer_factory: TrainerFactory | None = None,
    objective_from: ObjectiveFrom | None = None,
    constraints: Mapping[str, Limit] | None = None,
    keep_checkpoints: int | None = None,
    baseline: bool = False,
    check_replay: bool = False,
    repeats: Repeats | None = None,
    show_training: bool = False,
    rank_timeout: float = 60.0,
    **options: Any,
) -> BestRun | list[BestRun]:
    """Search a Trainer's hyperparameters: the arguments of ``Trainer.hyperparameter_search``.

    Args:
        trainer: A Trainer with a ``model_init``; it comes back as it was given. SetFit's Trainer is
            taken as well, and any other that is an :class:`AppliesHyperparameters`.
        hp_space: What is searched, in any form that :func:`hpsearch.search` takes. A parameter
            named like a field of the Trainer's arguments is set there; any other is for
            ``model_init(trial)`` or ``trainer_factory`` to read. None searches learning rate,
            epochs, seed and batch size, as upstream does.
        compute_objective: The name of a metric, such as ``"eval_f1"`` or ``"f1"``, or a list with
            one for each direction; or a function from the metrics of an evaluation to a number, or
            to one for each direction. None: the metric of a W&B sweep or a SigOpt experiment, if
            evaluations have it; else the Trainer's ``metric_for_best_model`` where that is set;
            else the evaluation loss, or the sum of what ``compute_metrics`` returns.
        n_trials: The total number of trials; None for no limit.
        direction: ``"minimize"`` or ``"maximize"``, or one for each objective. It counts, as
            upstream: the goal of a sweep and ``greater_is_better`` are ignored with a warning where
            they say otherwise. Not given, or None: that goal; else ``greater_is_better`` where the
            objective is ``metric_for_best_model``; else ``"minimize"``.
        backend: The name of an installed backend, or transformers' own enumeration of them.
        hp_name: From the trial to the name of its run and folder; None for ``run-<id>``.
        trainer_factory: Instead of a Trainer, for Trainer classes that take no ``model_init``:
            ``trainer_factory(trial)`` returns a Trainer built with the trial's parameters.
        objective_from: Which evaluation of a trial counts: the ``"last"`` or the ``"best"``. None
            takes the best where the Trainer has ``load_best_model_at_end``, else the last.
        constraints: Limits of metrics, by name: ``{"eval_runtime": at_most(10.0)}``. A trial that
            does not keep them cannot be the best run; see ``trial.set_constraint``.
        keep_checkpoints: How many trials keep their checkpoints: the best ones, which then have
            one in any case. None leaves what the Trainer's arguments save.
        baseline: Try the arguments that the Trainer came with as well, before any suggestion.
        check_replay: Train the first trial twice before the search goes on, and end the search
            with an error where the two results differ: it says at which report they differ. A
            resumed study that was checked is not checked again.
        repeats: Train each trial several times and take the mean: :class:`Folds` for
            cross-validation, :class:`Seeds` for several seeds. None trains once.
        show_training: Show transformers' own progress bars, printed logs and reports of loaded
            weights in each trial. What the user's own callbacks print is shown in any case.
        rank_timeout: Under ``torchrun`` and ``accelerate launch``: seconds within which all ranks
            have to leave a trial that failed on one of them; those that cannot are ended.
        **options: Every other option of :func:`hpsearch.search` (``timeout``, ``seed``,
            ``pruner``, ``storage``, ``resume``, ``catch``, ...), and the backend's own ones.

    Returns:
        The best run, or the Pareto front with several directions. Its ``checkpoint`` is what the
        run saved, :func:`load_best_model` loads it and :func:`refit` trains it again.

    Raises:
        ArgumentError: The Trainer cannot be searched, or a parameter cannot take effect.
        ReplayError: With ``check_replay``: the first trial gave two results.
        HpsearchError: Whatever else :func:`hpsearch.search` raises.
    """
    check_repeats(repeats, checkpoint=keep_checkpoints is not None)
    options = translated(options, backend_name(backend))
    if keep_checkpoints is not None:
        options["plugins"] = [*options.get("plugins", ()), CheckpointKeeper(keep_checkpoints)]
    space = SpaceFunction(hp_space) if callable(hp_space) else hp_space
    chosen = direction_given(direction)
    if chosen is not None and "direction" in options:
        raise ArgumentError("'directions' and 'direction' are the same option; give one of them")
    chosen = options.pop("direction", chosen)
    # Where another direction is given, the objective itself says so.
    goal = None if chosen is not None else _goal(trainer, compute_objective)

    given: dict[str, Any] = {
        "compute_objective": compute_objective,
        "hp_name": hp_name,
        "objective_from": objective_from,
        "constraints": constraints,
        "checkpoint": bool(keep_checkpoints),
        "baseline": baseline,
        "check_replay": check_replay,
        "repeats": repeats,
        "show_training": show_training,
        "direction_said": chosen is not None or goal is not None,
        "space_function": space if isinstance(space, SpaceFunction) else None,
    }

    def make(**changes: Any) -> TrainerObjective:
        source: Any = trainer
        return TrainerObjective(source, trainer_factory=trainer_factory, **{**given, **changes})

    def run(objective: TrainerObjective | AppliedObjective, **place: Any) -> Study:
        return search(
            objective,
            OverruledGoals(DEFAULT_SPACE if space is None else space, goal),
            backend=backend_name(backend),
            n_trials=n_trials,
            **{"direction": chosen, **options, **place},
        )

    rank_timeout = number("rank_timeout", rank_timeout, above=0, kind="a finite number of seconds")
    with freeze_gc():
        if applies_hyperparameters(trainer):
            check_only_source(trainer, trainer_factory)
            study = run(AppliedObjective(trainer, **given))
        elif processes() == 1:
            study = run(make())
        else:
            check_alone(options, processes())
            args: Any = TrainingArguments if trainer is None else trainer.args
            study = search_together(
                make, run, rank_timeout=rank_timeout, collective_timeout=args.ddp_timeout
            )
    if check_replay and not any("replayed" in trial.attrs for trial in study.trials):
        logger.warning(
            "check_replay: no trial was trained twice, because the process of the first trial "
            "ended before a trial succeeded in it; a resumed search checks its next trial"
        )
    return study.best if len(study.directions) == 1 else study.best_runs


def _goal(trainer: object, compute_objective: object) -> str | None:
    """Return the direction that the Trainer's arguments give to the objective, None for none."""
    if not isinstance(trainer, Trainer):
        return None
    names_it = isinstance(compute_objective, str) and is_best_metric(
        compute_objective, trainer.args
    )
    return best_direction(trainer.args) if compute_objective is None or names_it else None


_METHOD = "hyperparameter_search"
_replaced: list[Callable[..., Any]] = []


def enable() -> None:
    """Make every Trainer's ``hyperparameter_search`` this one, until :func:`disable`.

    A subclass that overrides the method keeps its own.
    """
    if not _replaced:
        _replaced.append(getattr(Trainer, _METHOD))
        setattr(Trainer, _METHOD, hyperparameter_search)


def disable() -> None:
    """Give Trainers their own ``hyperparameter_search`` back."""
    if _replaced:
        setattr(Trainer, _METHOD, _replaced.pop())
