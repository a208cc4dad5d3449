"""From the best run to its model: loaded, trained once more, or its hyperparameters set."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from hpsearch.errors import ArgumentError, brief, listed
from hpsearch.study.study import BestRun, Study
from hpsearch.transformers import arguments
from hpsearch.transformers.applied import (
    AppliesHyperparameters,
    applies_hyperparameters,
    load_model,
    train_again,
)
from hpsearch.transformers.build import TrainerFactory, built, set_up, takes_nothing
from hpsearch.transformers.resume import read_record
from hpsearch.transformers.snapshot import as_given
from hpsearch.transformers.tracked import RecordedTrial
from hpsearch.transformers.weights import fingerprint, load_weights

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord

logger = logging.getLogger("hpsearch")


def load_best_model(
    trainer: Trainer | AppliesHyperparameters | TrainerFactory, best: BestRun
) -> Any:
    """Put the best run's model into a Trainer, from the run's checkpoint.

    The model is built as it was in the trial, by ``model_init(trial)``, and takes the weights of
    ``best.checkpoint``; ``trainer.predict`` and ``trainer.save_model`` then use it. It is the model
    that ``best.objective`` was measured on, to the last bit, or there is an error. It is set to
    evaluate, as ``from_pretrained`` does: its dropout is off.

    Args:
        trainer: The Trainer that was searched, or the ``trainer_factory``.
        best: What the search returned, or ``study.best`` of a study that was loaded.

    Returns:
        The model; ``trainer.model`` is the same object.

    Raises:
        ArgumentError: The evaluation that counts left no checkpoint, it is gone or is another
            run's, or it lacks some of the weights.
    """
    _check_given(trainer, best)
    checkpoint, recorded = _check_checkpoint(best)
    if applies_hyperparameters(trainer):
        return load_model(trainer, checkpoint)
    trial = RecordedTrial(best.trial)
    if not isinstance(trainer, Trainer):
        trainer = built(cast("TrainerFactory", trainer), trial)
    before = trainer.model
    try:
        if trainer.model_init is not None:
            # What the checkpoint lacks, such as the model below an adapter, comes out the same.
            set_seed(best.trial.attrs["training_seed"])
            build: Callable[[Any], nn.Module] = trainer.call_model_init
            trainer.model = build(trial)
        if trainer.place_model_on_device:
            trainer.model.to(trainer.args.device)
        load_weights(trainer, checkpoint, trainer.model)
        _check_weights(best, recorded, fingerprint(trainer))
        trainer.model.eval()
    except BaseException:
        trainer.model = before
        raise
    trainer.model_wrapped = trainer.model
    model: nn.Module = trainer.model
    return model


def refit(
    trainer: Trainer | AppliesHyperparameters | TrainerFactory, best: BestRun, **train_options: Any
) -> Any:
    """Train once more as the best run did, and keep the result in the Trainer.

    With the same data and in the same environment this gives the best run's model again, to the
    last bit: training ends at the evaluation that ``best.objective`` is from. To train on more
    data, set ``trainer.train_dataset`` before; training then ends after the same share of its
    steps. Of a run that trained several times, with ``repeats=``, this is a single model: trained
    on the whole ``train_dataset`` where they were folds, and with the first of the seeds.

    Args:
        trainer: The Trainer that was searched, or the ``trainer_factory``. Its arguments become
            those of the best run; its folder stays its own.
        best: What the search returned.
        **train_options: For ``trainer.train``.

    Returns:
        The trained Trainer.

    Raises:
        ArgumentError: A recorded value does not fit the Trainer's arguments, or the run went on
            from another one's checkpoint, which one training cannot repeat.
    """
    _check_given(trainer, best)
    if applies_hyperparameters(trainer):
        return train_again(trainer, best, **train_options)
    facts = best.trial.attrs
    if "continued" in facts or "changed_params" in facts:
        raise ArgumentError(
            f"run {best.run_id} changed its parameters or went on from another run's checkpoint "
            "while it trained, so one training cannot repeat it; load its model with "
            "load_best_model(trainer, best)"
        )
    trial = RecordedTrial(best.trial)
    if not isinstance(trainer, Trainer):
        trainer = built(cast("TrainerFactory", trainer), trial)
    set_up(trainer, facts["arguments"])
    judged = _ends_where_judged(trainer, best.trial)
    with _models_of(trainer, trial), as_given(trainer), judged:
        trainer.train(**train_options)
    return trainer


def apply_hyperparameters(trainer: Trainer, best: BestRun) -> None:
    """Give a Trainer the best run's hyperparameters, for its own ``trainer.train()``.

    Fields of the Trainer's arguments are set there, and what was derived from them is derived
    again: ``setattr(trainer.args, ...)`` leaves the old batch size in force. The others reach
    ``model_init(trial)``. For the very model of the run, use :func:`refit`, which ends where the
    run was judged.

    Args:
        trainer: The Trainer that was searched, or one like it.
        best: What the search returned.

    Raises:
        ArgumentError: A value does not fit the Trainer's arguments, or cannot take effect on a
            Trainer that exists.
    """
    _check_given(trainer, best)
    trial, args = RecordedTrial(best.trial), trainer.args
    fields = arguments.field_names(args)
    searched: dict[str, Any] = best.trial.attrs["arguments"]
    for name in sorted((fields & trial.keys()) - searched.keys()):
        arguments.check_live(type(trainer), args, name)
        searched = {**searched, name: trial[name]}
    set_up(trainer, searched)
    init = trainer.model_init
    if init is not None and not takes_nothing(init):
        trainer.model_init = lambda other=None: init(trial if other is None else other)
    elif trial.keys() - fields:
        logger.warning(
            "%s are not fields of %s, and the Trainer's model_init takes no argument: they are not "
            "set; refit(trainer_factory, best) builds a Trainer with them",
            *(listed(sorted(trial.keys() - fields)), type(args).__name__),
        )


# Checks.


def _check_given(trainer: object, best: object) -> None:
    """Raise :class:`ArgumentError` unless a Trainer, or a factory, and one of its runs is given."""
    if not isinstance(best, BestRun):
        instead = {Study: "study.best", list: "one of them, such as best[0]"}.get(type(best))
        raise ArgumentError(
            f"best is {brief(best)}, expected a BestRun{f'; give {instead}' if instead else ''}"
        )
    if "arguments" not in best.trial.attrs:
        raise ArgumentError(f"run {best.run_id} is not one of a Trainer's search")
    if not (isinstance(trainer, Trainer) or applies_hyperparameters(trainer) or callable(trainer)):
        raise ArgumentError(
            f"trainer is {brief(trainer)}, expected the Trainer that was searched, or the factory"
        )


def _check_checkpoint(best: BestRun) -> tuple[str, dict[str, Any]]:
    """Return the checkpoint that the run was judged by, and what it says of itself."""
    facts, path = best.trial.attrs, best.checkpoint
    if "repeats" in facts:
        raise ArgumentError(
            f"run {best.run_id} trained {len(facts['repeats'])} models, and its objective is their "
            "mean; train one with its parameters by refit(trainer, best)"
        )
    again = "or train the model again with refit(trainer, best)"
    if path is None:
        where = ""
        if facts.get("checkpoints") and "judged_at" in facts:
            steps = [int(str(folder).rpartition("-")[2]) for folder in facts["checkpoints"]]
            judged = facts["judged_at"]["step"]
            where = f" of step {judged}, at which it was judged, only of {steps}"
        raise ArgumentError(
            f"run {best.run_id} left no checkpoint{where}; search with keep_checkpoints=1, or with "
            f"a save_strategy that saves at each evaluation, {again}"
        )
    if not Path(path).is_dir():
        raise ArgumentError(f"the checkpoint {path} of run {best.run_id} is gone; {again[3:]}")
    if "search" not in facts:  # hpsearch 0.1.0 wrote nothing into checkpoints
        return path, {}
    recorded = read_record(Path(path))
    number, *_ = recorded.get("trial", [None])
    values = list(best.trial.objectives or ())
    expected = [facts["search"], best.trial.number, values]
    if [recorded.get("search"), number, recorded.get("values")] != expected:
        raise ArgumentError(
            f"the checkpoint {path} is not the one by which run {best.run_id} was judged with "
            f"{values}; it says that it is of trial {number}, with {recorded.get('values')}. "
            f"Search in another output_dir, {again}"
        )
    return path, recorded


def _check_weights(best: BestRun, recorded: dict[str, Any], loaded: dict[str, int]) -> None:
    judged: dict[str, int] = recorded.get("weights", {})
    if not (judged and loaded):
        return
    if recorded.get("beside"):
        logger.warning(
            "run %s also trained %d tensors that its model does not have, such as those of a loss; "
            "no checkpoint has them, so an evaluation may give another loss than in the trial",
            *(best.run_id, recorded["beside"]),
        )
    differ = sorted(name for name, _ in judged.items() ^ loaded.items())
    if differ:
        raise ArgumentError(
            f"the checkpoint {best.checkpoint} does not bring back {listed(dict.fromkeys(differ))} "
            f"as they were when run {best.run_id} was judged; have them saved with the model "
            "(modules_to_save of a PEFT adapter, a persistent buffer), have model_init build them "
            "the same each time, or train the model again with refit(trainer, best). A callback "
            "that puts other weights in place to evaluate has to leave them there until the save"
        )


# Training once more.


@contextmanager
def _models_of(trainer: Trainer, trial: RecordedTrial) -> Iterator[None]:
    """Have ``train`` build its model from the trial."""
    build: Callable[[Any], nn.Module] = trainer.call_model_init
    own = vars(trainer).copy()
    vars(trainer)["call_model_init"] = lambda _trial=None: build(trial)
    try:
        yield
    finally:
        del vars(trainer)["call_model_init"]
        if "call_model_init" in own:
            vars(trainer)["call_model_init"] = own["call_model_init"]


@contextmanager
def _ends_where_judged(trainer: Any, trial: TrialRecord) -> Iterator[None]:
    """Have a training end at the evaluation that the trial was judged by, with the model of it."""
    judged = _judged_at(trial)
    if judged is None:
        yield
        return
    end = _End(trainer, **judged)
    loads_best = trainer.args.load_best_model_at_end
    own, evaluate = vars(trainer).copy(), trainer.evaluate
    trainer.add_callback(end)

    def look_and_evaluate(*args: Any, **kwargs: Any) -> dict[str, float]:
        if trainer.is_in_train:
            end.evaluation_begins()
        metrics: dict[str, float] = evaluate(*args, **kwargs)
        return metrics

    vars(trainer)["evaluate"] = look_and_evaluate
    try:
        yield
    finally:
        trainer.remove_callback(end)
        del vars(trainer)["evaluate"]
        if "evaluate" in own:
            vars(trainer)["evaluate"] = own["evaluate"]
        trainer.args.load_best_model_at_end = loads_best
    if end.untrained is not None:
        trainer.model.load_state_dict(end.untrained)
    elif end.judged not in (None, fingerprint(trainer)):
        raise ArgumentError(
            f"trial {trial.number} was judged by other weights than training leaves: a callback "
            "puts them in place to evaluate, such as an average; have it leave them there at the "
            "end of the training"
        )


def _judged_at(trial: TrialRecord) -> dict[str, int] | None:
    """Return the step of the evaluation that counts, of how many, and in which training."""
    if "repeats" in trial.attrs:  # it was judged by several trainings, each to its end
        return None
    if "judged_at" in trial.attrs:
        judged: dict[str, int] = trial.attrs["judged_at"]
        return judged
    # Ray ended the trial, or hpsearch 0.1.0 wrote it down.
    same = [step for step, values in trial.intermediate.items() if values == trial.objectives]
    return {"step": max(same)} if same else None


class _End(TrainerCallback):
    """Ends a training at a step, and there the Trainer loads nothing else back.

    Args:
        trainer: The Trainer.
        step: The step.
        of: Of how many; the step is counted again where there are more or fewer now.
        training: Which training, from 1, where the Trainer begins several.

    Attributes:
        untrained: The weights from before the first step, where these are the result; else None.
        judged: The fingerprint of the weights that were evaluated at the end; None if none were.
    """

    def __init__(self, trainer: Any, step: int, of: int = 0, training: int = 1) -> None:
        self._trainer = trainer
        self._step = step
        self._of = of
        self._training = training
        self._trainings = 0
        self.untrained: dict[str, Any] | None = None
        self.judged: dict[str, int] | None = None

    def evaluation_begins(self) -> None:
        """Look at the weights that are judged, where this is the last evaluation."""
        is_last = self._trainings == self._training
        if is_last and self._trainer.state.global_step >= self._step:
            self.judged = fingerprint(self._trainer)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        self._trainings += 1
        if self._trainings != self._training:
            return
        if self._of:
            self._step = round(self._step * state.max_steps / self._of)
        if self._step == 0:
            self.untrained = copy.deepcopy(self._trainer.model.state_dict())

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if self._trainings == self._training and state.global_step >= self._step:
            control.should_training_stop = True
            args.load_best_model_at_end = False
