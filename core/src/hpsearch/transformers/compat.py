"""The one place for names of transformers that are not public. Tried on 4.57.6 and 5.23.0.

Everything else in this package uses the public face of ``Trainer``: its callbacks, ``args``,
``train``, ``evaluate``, ``call_model_init``, ``callback_handler``, ``accelerator`` and
``create_accelerator_and_postprocess``.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn
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
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer import DEFAULT_CALLBACKS, DEFAULT_PROGRESS_CALLBACK
from transformers.trainer_utils import SchedulerType

_CONVERTS = find_spec("transformers.conversion_mapping") is not None
"""Whether saved weights are converted by rules, as 5.x does, and not only renamed."""

_BUILT_BY_TRAINERS = """
    args model model_wrapped optimizer lr_scheduler accelerator gather_function callback_handler
    state control deepspeed _memory_tracker _tr_loss _eval_dataloaders _past neftune_hook_handle
    push_in_progress
"""
BUILT_BY_TRAINERS = frozenset(_BUILT_BY_TRAINERS.split())
"""The attributes that each Trainer makes for itself: its model, its process, its training."""


DISPLAYS = (DEFAULT_PROGRESS_CALLBACK, PrinterCallback)
"""The callbacks by which a Trainer shows its training: a bar, or each log as a printed line."""

LOADING_LOGGERS = ("transformers.modeling_utils", "transformers.utils.loading_report")
LOADING_REPORTS = ("LOAD REPORT", "Some weights of ")
"""Where a model that is loaded reports which weights it lacks, and how these reports begin."""

PARAMETERS_OF_OPTIMIZERS = frozenset(("params", "model", "optimizer_dict"))
"""Under these names an optimiser's arguments may hold the parameters that it optimises."""


def groups_parameters(options: Mapping[str, Any]) -> bool:
    """Whether an optimiser's arguments group the parameters, so that the Trainer does not."""
    return not PARAMETERS_OF_OPTIMIZERS.isdisjoint(options)


def schedule_warms_up(kind: Any) -> bool:
    """Whether a learning rate schedule of this type takes a number of warmup steps."""
    make: Any = TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(kind)]
    return "num_warmup_steps" in inspect.signature(make).parameters


def reporting_callbacks(args: TrainingArguments) -> tuple[type[TrainerCallback], ...]:
    """Return the classes of the callbacks that report to W&B, TensorBoard and their kind."""
    return tuple(get_reporting_integration_callbacks(args.report_to))  # type: ignore[no-untyped-call]


def usual_callbacks(args: TrainingArguments) -> set[type[TrainerCallback]]:
    """Return the classes of the callbacks that every Trainer with these arguments makes."""
    return {
        *DEFAULT_CALLBACKS,
        *reporting_callbacks(args),
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


def without_process(args: TrainingArguments) -> dict[str, Any]:
    """Return the arguments' attributes apart from those that know their process and devices."""
    return {name: value for name, value in vars(args).items() if name not in PROCESS_OF_ARGUMENTS}


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


def save_model(trainer: Trainer, folder: str) -> None:
    """Save a Trainer's model as its checkpoints have it, and upload nothing."""
    trainer.save_model(folder, _internal_call=True)


def loads_in_its_own_way(trainer: Trainer) -> bool:
    """Whether only the Trainer can load its checkpoints.

    Its class says how, or each process has a part of the model.
    """
    own = type(trainer)._load_from_checkpoint is not Trainer._load_from_checkpoint
    return own or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled


def load_from_checkpoint(trainer: Trainer, checkpoint: str, model: nn.Module) -> None:
    """Have the Trainer load a checkpoint's weights.

    Its class may take the checkpoint alone, as transformers once did; then the Trainer's model gets
    the weights.
    """
    load = type(trainer)._load_from_checkpoint
    if len(inspect.signature(load).parameters) > 2:
        load(trainer, checkpoint, model)
    else:
        load(trainer, checkpoint)


def names_not_saved(model: nn.Module) -> set[str]:
    """Return the names of the weights that a model of transformers computes and never saves."""
    names: set[str] = set(getattr(model, "_keys_to_ignore_on_save", None) or ())
    return names


def with_todays_names(model: PreTrainedModel, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return saved weights as the model has them, whose file has them under other names.

    transformers saves some architectures under their older names, on 5.x also in other pieces, and
    renames them in ``from_pretrained``, which would build a model of its own.
    """
    if not _CONVERTS:
        mapping = getattr(model, "_checkpoint_conversion_mapping", None)
        rename: Any = model._get_key_renaming_mapping
        today: dict[str, str] = rename(list(weights), mapping)
        return {today[name]: value for name, value in weights.items()}
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import convert_and_load_state_dict_in_model
    from transformers.modeling_utils import LoadStateDictConfig

    twin = copy.deepcopy(model)
    conversions: Any = get_model_conversion_mapping(twin)
    how = LoadStateDictConfig(weight_mapping=conversions, dtype=model.dtype)
    report, _ = convert_and_load_state_dict_in_model(twin, dict(weights), how)
    loaded = twin.state_dict()
    return {
        **{name: loaded[name] for name in loaded.keys() - report.missing_keys},
        **{name: weights[name] for name in report.unexpected_keys & weights.keys()},
    }


def load_weights_when_resuming(
    trainer: Any, load: Callable[[Trainer, str, nn.Module], None]
) -> None:
    """Have the training that follows load a checkpoint's weights by this function."""
    vars(trainer)["_load_from_checkpoint"] = lambda checkpoint, model=None: load(
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
