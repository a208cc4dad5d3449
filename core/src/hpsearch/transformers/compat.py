"""The one place for names of transformers that are not public. Tried on 4.57.6 and 5.23.0.

Everything else in this package uses the public face of ``Trainer``: its callbacks, ``args``,
``train``, ``evaluate``, ``call_model_init``, ``callback_handler``, ``accelerator`` and
``create_accelerator_and_postprocess``.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations.integration_utils import get_reporting_integration_callbacks
from transformers.trainer import DEFAULT_CALLBACKS, DEFAULT_PROGRESS_CALLBACK

from hpsearch.errors import ArgumentError, listed

_BUILT_BY_TRAINERS = """
    args model model_wrapped optimizer lr_scheduler accelerator gather_function callback_handler
    state control deepspeed _memory_tracker _tr_loss _eval_dataloaders _past neftune_hook_handle
    push_in_progress
"""
BUILT_BY_TRAINERS = frozenset(_BUILT_BY_TRAINERS.split())
"""The attributes that each Trainer makes for itself: its model, its process, its training."""


def usual_callbacks(args: TrainingArguments) -> set[type[TrainerCallback]]:
    """Return the classes of the callbacks that every Trainer with these arguments makes."""
    return {
        *DEFAULT_CALLBACKS,
        *get_reporting_integration_callbacks(args.report_to),  # type: ignore[no-untyped-call]
        DEFAULT_PROGRESS_CALLBACK,
        PrinterCallback,
    }


LEFT_BY_TRAINING = frozenset(
    ("optimizer", "lr_scheduler", "train_dataloader", "eval_dataloader", "_train_dataloader")
)
"""The attributes of a Trainer, and of the handler of its callbacks, that a training leaves set."""

PROCESS_OF_ARGUMENTS = frozenset(
    ("distributed_state", "_setup_devices", "__cached__setup_devices", "_n_gpu")
)
"""The attributes in which TrainingArguments keep what they learnt of their process."""


def without_process(args: TrainingArguments) -> TrainingArguments:
    """Return a copy of the arguments that does not know its process and its devices yet."""
    copied = copy.copy(args)
    for name in PROCESS_OF_ARGUMENTS:
        vars(copied).pop(name, None)
    return copied


def forget_what_was_read(trainer: Trainer) -> None:
    """Drop what a Trainer derived from earlier arguments and an earlier model.

    - ``_train_batch_size`` is copied from the arguments by ``__init__`` on 5.x.
    - ``_signature_columns`` holds the argument names of the first model's ``forward``.
    - ``_eval_dataloaders`` holds loaders kept for persistent workers.
    """
    trainer._train_batch_size = trainer.args.train_batch_size
    trainer._signature_columns = None
    vars(trainer).pop("_eval_dataloaders", None)


def inner_parts(trainer: Trainer) -> list[Any]:
    """Return the objects inside a Trainer that training changes in place.

    The memory tracker notes the stage it is in, and an exception leaves it there.
    """
    return [trainer._memory_tracker]


def load_weights(trainer: Trainer, checkpoint: str, model: nn.Module) -> None:
    """Load a checkpoint folder's weights, whole, sharded or an adapter's, into ``model``.

    A model of transformers goes through ``from_pretrained``: 5.x saves some architectures under
    their older names, and ``Trainer`` itself would then load nothing and only warn.

    Raises:
        ArgumentError: The checkpoint lacks some of the model's weights.
    """
    if not isinstance(model, PreTrainedModel):
        type(trainer)._load_from_checkpoint(trainer, checkpoint, model=model)
        return
    answer: Any = type(model).from_pretrained(
        checkpoint, config=model.config, dtype=model.dtype, output_loading_info=True
    )
    loaded, report = answer
    if report["missing_keys"]:
        raise ArgumentError(
            f"the checkpoint {checkpoint} lacks {listed(sorted(report['missing_keys']))} of the "
            "model that was built for it"
        )
    model.load_state_dict(loaded.state_dict())


def load_weights_when_resuming(trainer: Any) -> None:
    """Have the training that follows load a checkpoint's weights as :func:`load_weights` does."""
    vars(trainer)["_load_from_checkpoint"] = lambda checkpoint, model=None: load_weights(
        trainer, checkpoint, trainer.model if model is None else model
    )


def load_no_hyperparameters(trainer: Any, state: TrainerState, same_optimizer: bool) -> None:
    """Have a Trainer that resumes load what its optimiser has learnt, and no hyperparameter.

    Args:
        trainer: The Trainer; for the training that follows.
        state: Its state to be, whose steps are known once training begins.
        same_optimizer: Whether the checkpoint's optimiser is of the same kind; else none of it is
            loaded.
    """
    load = trainer._load_optimizer_and_scheduler

    def load_and_put_back(checkpoint: str | None) -> None:
        scheduler = trainer.lr_scheduler
        groups = [_without_weights(group) for group in trainer.optimizer.param_groups]
        rates = list(getattr(scheduler, "base_lrs", ()))
        if same_optimizer:
            load(checkpoint)
        for group, values in zip(trainer.optimizer.param_groups, groups, strict=True):
            group.update(values)
        if isinstance(scheduler, LambdaLR):
            _set_position(scheduler, rates, state.global_step)

    vars(trainer)["_load_optimizer_and_scheduler"] = load_and_put_back


def _without_weights(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _set_position(scheduler: Any, rates: list[float], step: int) -> None:
    """Put a schedule where it would be after ``step`` steps from these learning rates."""
    scheduler.base_lrs = rates
    scheduler.last_epoch = step
    scheduler._step_count = step + 1
    scheduler._last_lr = [
        rate * factor(step) for rate, factor in zip(rates, scheduler.lr_lambdas, strict=True)
    ]
    for group, rate in zip(scheduler.optimizer.param_groups, scheduler._last_lr, strict=True):
        group["lr"] = rate
