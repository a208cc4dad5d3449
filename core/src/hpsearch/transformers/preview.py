"""An evaluation before the first training, which shows what metrics there are."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerState

from hpsearch.errors import described
from hpsearch.transformers import compat
from hpsearch.transformers.snapshot import Memory, restored

logger = logging.getLogger("hpsearch")

FEW = 2
"""The batches that show which metrics there are, where they show all."""


def preview(trainer: Trainer, batches: int | None) -> dict[str, Any] | None:
    """Evaluate the model as it is, and leave everything as it was.

    No callback hears of it, so nothing is reported.

    Args:
        trainer: A Trainer that is not training.
        batches: How many batches of each evaluation set count, None for all.

    Returns:
        The metrics, or None where there are none to be had: there is no model yet, an evaluation
        would change it, or the evaluation fails. A trial will then show what is wrong.
    """
    args, model = trainer.args, trainer.model
    converts = args.fp16_full_eval or args.bf16_full_eval or args.deepspeed or args.fsdp
    if model is None or converts or args.world_size > 1:
        return None
    with restored(trainer, Memory(collects=False)), _same_randomness(), _same_model(model):
        trainer.callback_handler.callbacks = []
        trainer.state = TrainerState()
        if batches is not None:
            _shorten(trainer, batches)
        try:
            metrics: dict[str, Any] = trainer.evaluate()
        except Exception as error:  # noqa: BLE001 - the user's own code may raise anything
            logger.info("the metrics are not known before the first trial: %s", described(error))
            return None
    return metrics


def gets_more_metrics(trainer: Trainer) -> bool:
    """Whether a callback of the user's may add metrics to those of an evaluation."""
    usual = compat.usual_callbacks(trainer.args)
    return any(
        type(callback) not in usual
        and type(callback).on_evaluate is not TrainerCallback.on_evaluate
        for callback in trainer.callback_handler.callbacks
    )


def _shorten(trainer: Trainer, batches: int) -> None:
    """Have evaluations end after so many batches."""
    get_loader = trainer.get_eval_dataloader
    vars(trainer)["get_eval_dataloader"] = lambda *args, **options: _FirstBatches(
        get_loader(*args, **options), batches
    )


class _FirstBatches:
    """A data loader that ends early and is the one it stands for in everything else."""

    def __init__(self, loader: Any, batches: int) -> None:
        self._loader = loader
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        yield from islice(self._loader, self._batches)
        end = getattr(self._loader, "end", None)
        if end is not None:  # accelerate's loaders say so themselves only after the last batch
            end()

    def __len__(self) -> int:
        return min(len(self._loader), self._batches)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._loader, name)


@contextmanager
def _same_randomness() -> Iterator[None]:
    """Put every random generator back that an evaluation may draw from."""
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is shared
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)  # noqa: NPY002 - as above


@contextmanager
def _same_model(model: nn.Module) -> Iterator[None]:
    """Put a model's modes back, and the ``forward`` that accelerate may have wrapped."""
    attributes = vars(model).copy()
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        vars(model).clear()
        vars(model).update(attributes)
        for module, mode in modes.items():
            module.training = mode
