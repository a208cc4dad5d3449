"""Going on from a checkpoint, another trial's perhaps, with the hyperparameters now in force.

By itself a Trainer that resumes brings back the learning rate, the weight decay and the schedule
that the checkpoint was trained with, and counts its steps in batches of the old size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import Trainer, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import SaveStrategy

from hpsearch.errors import ArgumentError
from hpsearch.study.trial import Trial
from hpsearch.transformers import compat
from hpsearch.transformers.weights import load_weights

_RECORD = "hpsearch.json"


def write_record(checkpoint: Path, trial: Trial, **facts: Any) -> None:
    """Note in a checkpoint whose it is, for who loads it and for the run that goes on from it."""
    record = {**read_record(checkpoint), "trial": _identity(trial), **facts}
    (checkpoint / _RECORD).write_text(json.dumps(record))


def read_record(checkpoint: Path) -> dict[str, Any]:
    """Return what was noted in a checkpoint, empty if nothing was."""
    path = checkpoint / _RECORD
    record: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return record


def is_own(record: Mapping[str, Any], trial: Trial) -> bool:
    """Whether a checkpoint comes from this trial with the parameters that it still has."""
    return record.get("trial") == _identity(trial)


def _identity(trial: Trial) -> list[Any]:
    return [trial.number, dict(trial.params)]


def check_saving(args: TrainingArguments) -> None:
    """Raise :class:`ArgumentError` if each evaluation cannot leave a checkpoint to go on from."""
    for name, value in {"save_strategy": SaveStrategy.BEST, "save_only_model": True}.items():
        if getattr(args, name) == value:
            raise ArgumentError(
                f"{name} is {getattr(value, 'value', value)!r}, and this search goes on from "
                "checkpoints, which need every evaluation's whole state; leave it at its default"
            )


@contextmanager
def resume_from_checkpoint(trainer: Trainer, trial: Trial) -> Iterator[dict[str, Any]]:
    """Yield the options for ``trainer.train`` that go on from the trial's checkpoint, if any.

    The checkpoint itself stays as it is: the Trainer gets a folder of links to its files, with a
    state of its own.
    """
    if trial.resume_from is None:
        yield {}
        return
    checkpoint = Path(trial.resume_from).absolute()
    record = read_record(checkpoint)
    with TemporaryDirectory(prefix="hpsearch-") as name:
        for path in checkpoint.iterdir():
            if path.name != TRAINER_STATE_NAME:
                Path(name, path.name).symlink_to(path, target_is_directory=path.is_dir())
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        if not is_own(record, trial):
            state.best_metric = state.best_global_step = state.best_model_checkpoint = None
        _count_again(trainer, state, str(Path(name, TRAINER_STATE_NAME)))
        compat.load_weights_when_resuming(trainer, load_weights)
        same_optimizer = record.get("optim", str(trainer.args.optim)) == str(trainer.args.optim)
        compat.load_no_hyperparameters(trainer, state, same_optimizer)
        yield {"resume_from_checkpoint": name}


def _count_again(trainer: Any, state: Any, path: str) -> None:
    """Count the steps made so far, and those between evaluations, by the arguments in force.

    As many epochs as before are over, with a batch size that may be another. Where ``max_steps``
    says how long to train, steps stay what they are.
    """
    state.train_batch_size = trainer.args.train_batch_size
    state.save_to_json(path)
    plan, epoch = trainer.set_initial_training_values, state.epoch

    def plan_and_count(*args: Any, **options: Any) -> Any:
        planned = plan(*args, **options)
        steps_per_epoch, max_steps = planned[1], planned[-1]
        if trainer.args.max_steps <= 0 and epoch is not None:
            state.global_step = round(epoch * steps_per_epoch)
        state.compute_steps(trainer.args, max_steps)
        state.save_to_json(path)
        return planned

    vars(trainer)["set_initial_training_values"] = plan_and_count
