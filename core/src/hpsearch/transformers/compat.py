"""The one place for names of transformers that are not public. Tried on 4.57.6 and 5.23.0.

Everything else in this package uses the public face of ``Trainer``: its callbacks, ``args``,
``train``, ``evaluate``, ``call_model_init``, ``callback_handler``, ``accelerator`` and
``create_accelerator_and_postprocess``.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
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


def without_process(args: TrainingArguments) -> TrainingArguments:
    """Return a copy of the arguments that does not know its process and its devices yet."""
    copied = copy.copy(args)
    for name in ("distributed_state", "_setup_devices", "__cached__setup_devices", "_n_gpu"):
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
        trainer._load_from_checkpoint(checkpoint, model=model)
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
