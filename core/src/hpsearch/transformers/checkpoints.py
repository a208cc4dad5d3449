"""What a search leaves on disk, and how to get the best model back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn
from transformers import Trainer, set_seed
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hpsearch.errors import ArgumentError
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.study.best import best_of, ranked
from hpsearch.study.outcome import TrialState
from hpsearch.transformers import compat
from hpsearch.transformers.applied import (
    AppliesHyperparameters,
    applies_hyperparameters,
    load_model,
    train_again,
)
from hpsearch.transformers.build import TrainerFactory, built, set_up
from hpsearch.transformers.tracked import RecordedTrial
from hpsearch.validators import whole

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import BestRun, Study


_CHECKPOINT = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-\d+")


class CheckpointKeeper:
    """An observer that keeps the checkpoints of the best trials and deletes the others'.

    Only a folder ``checkpoint-<step>`` directly in the folder of a trial's run is deleted, and only
    below a folder in which a trial of this very search has run. Where a journal names other
    places, they are left alone: anybody may have edited it.

    Args:
        count: How many trials keep theirs, at least 0. With several directions the whole Pareto
            front does, since each of its trials is an answer.

    Raises:
        ArgumentError: ``count`` is not such a number.
    """

    def __init__(self, count: int) -> None:
        self._count = whole("keep_checkpoints", count)
        self._places: set[Path] = set()

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        """Delete what is not among the best any more."""
        if "output_dir" in trial.attrs:  # observers are told only of trials that ran just now
            depth = len(Path(trial.attrs["run_name"]).parts)
            self._places.add(Path(trial.attrs["output_dir"]).resolve().parents[depth - 1])
        kept = {best.number for best in self._best(study)}
        for other in study.trials:
            ended = other.state is not TrialState.RUNNING
            if ended and other.number not in kept and self._deleted(other):
                study.history.amend(other, {"checkpoints": [], "checkpoint": None})

    def _deleted(self, trial: TrialRecord) -> bool:
        """Delete a trial's checkpoints, and its run's folder if it is empty; say if it had any."""
        folder, saved = trial.attrs.get("output_dir"), trial.attrs.get("checkpoints")
        if not (isinstance(folder, str) and isinstance(saved, list) and saved):
            return False
        run = Path(folder)
        if not any(place in run.resolve().parents for place in self._places):
            return False
        for checkpoint in map(Path, map(str, saved)):
            if checkpoint.parent == run and _CHECKPOINT.fullmatch(checkpoint.name):
                shutil.rmtree(checkpoint, ignore_errors=True)
        if run.is_dir() and not any(run.iterdir()):
            run.rmdir()
        return True

    def _best(self, study: Study) -> Sequence[TrialRecord]:
        if len(study.directions) > 1:
            return best_of(study.trials, study.directions) if self._count else []
        return ranked(study.trials, study.directions)[: self._count]


def load_best_model(
    trainer: Trainer | AppliesHyperparameters | TrainerFactory, best: BestRun
) -> Any:
    """Put the best run's model into a Trainer, from the run's checkpoint.

    The model is built as it was in the trial, by ``model_init(trial)``, and takes the weights of
    ``best.checkpoint``; ``trainer.predict`` and ``trainer.save_model`` then use it.

    Args:
        trainer: The Trainer that was searched, or the ``trainer_factory``.
        best: What the search returned.

    Returns:
        The model; ``trainer.model`` is the same object.

    Raises:
        ArgumentError: The run left no checkpoint, or it is gone.
    """
    if "repeats" in best.trial.attrs:
        raise ArgumentError(
            f"run {best.run_id} trained {len(best.trial.attrs['repeats'])} models, and its "
            "objective is their mean; train one with its parameters by refit(trainer, best)"
        )
    if best.checkpoint is None:
        raise ArgumentError(
            f"run {best.run_id} left no checkpoint; search with keep_checkpoints=1, or train the "
            "model again with refit(trainer, best)"
        )
    if not Path(best.checkpoint).is_dir():
        raise ArgumentError(f"the checkpoint {best.checkpoint} of run {best.run_id} is gone")
    if applies_hyperparameters(trainer):
        return load_model(trainer, best)
    trial = RecordedTrial(best.trial)
    if not isinstance(trainer, Trainer):
        trainer = built(cast("TrainerFactory", trainer), trial)
    if trainer.model_init is not None:
        # What the checkpoint lacks, such as the model below an adapter, comes out the same.
        set_seed(best.trial.attrs["training_seed"])
        build: Callable[[Any], nn.Module] = trainer.call_model_init
        trainer.model = build(trial)
    if trainer.place_model_on_device:
        trainer.model.to(trainer.args.device)
    compat.load_weights(trainer, best.checkpoint, trainer.model)
    trainer.model_wrapped = trainer.model
    model: nn.Module = trainer.model
    return model


def refit(
    trainer: Trainer | AppliesHyperparameters | TrainerFactory, best: BestRun, **train_options: Any
) -> Any:
    """Train once more as the best run did, and keep the result in the Trainer.

    With the same data and in the same environment this gives the best run's model again, to the
    last bit. To train on more data, set ``trainer.train_dataset`` before. Of a run that trained
    several times, with ``repeats=``, this is a single model: trained on the whole ``train_dataset``
    where they were folds, and with the first of the seeds.

    Args:
        trainer: The Trainer that was searched, or the ``trainer_factory``. Its arguments become
            those of the best run; its folder stays its own.
        best: What the search returned.
        **train_options: For ``trainer.train``.

    Returns:
        The trained Trainer.

    Raises:
        ArgumentError: A recorded value does not fit the Trainer's arguments.
    """
    if applies_hyperparameters(trainer):
        return train_again(trainer, best, **train_options)
    trial = RecordedTrial(best.trial)
    if not isinstance(trainer, Trainer):
        trainer = built(cast("TrainerFactory", trainer), trial)
    set_up(trainer, best.trial.attrs["arguments"])
    with _models_of(trainer, trial):
        trainer.train(**train_options)
    return trainer


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
