"""A model's weights: their fingerprint, and loading them from a checkpoint into a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer
from transformers.utils import SAFE_WEIGHTS_NAME, WEIGHTS_NAME

from hpsearch.errors import ArgumentError
from hpsearch.transformers import compat

_PART = 2**24
"""So many values are added up at a time, for which 128 MiB of memory are enough."""


def fingerprint(trainer: Any) -> dict[str, int]:
    """Return a number for each weight and buffer of a model, by name; also for those not saved.

    It is the sum of the tensor's bits, so it is the same on every device, and for a value that is
    kept with more bits than it needs. Nothing is said of a model of which each process has a part.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return {}
    # A buffer that is not persistent is in no checkpoint, and a training may change it.
    values = {**dict(trainer.model.named_buffers()), **trainer.model.state_dict()}
    return {
        name: _sum_of_bits(value)
        for name, value in values.items()
        if type(value) in {Tensor, nn.Parameter} and not value.is_meta
    }


def trained_beside(trainer: Any) -> int:
    """Count the tensors that a Trainer trains and its model does not have, such as a loss's."""
    optimizer = trainer.optimizer
    if optimizer is None or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return 0
    own = set(map(id, trainer.model.parameters()))
    return sum(
        value.requires_grad and id(value) not in own
        for group in optimizer.param_groups
        for value in group["params"]
    )


def load_weights(trainer: Trainer, checkpoint: str, model: nn.Module) -> None:
    """Load a checkpoint folder's weights, whole, sharded or an adapter's, into ``model``.

    What Trainer classes load in their own way they load here, and so do adapters. All else gets
    exactly the weights that the file has, each under its name.

    Raises:
        ArgumentError: The weights do not fit the model.
    """
    own = compat.loads_in_its_own_way(trainer)
    weights = None if own else _saved(Path(checkpoint))
    try:
        if weights is None:
            compat.load_from_checkpoint(trainer, checkpoint, model)
        else:
            _load(model, weights)
    except (RuntimeError, ValueError) as error:
        raise ArgumentError(
            f"the checkpoint {checkpoint} does not fit the model that was built for it: {error}"
        ) from error


def _sum_of_bits(tensor: Tensor) -> int:
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    parts = torch.split(tensor.reshape(-1), _PART)
    return sum((int(_bits(part).sum(dtype=torch.int64)) for part in parts), 0)


def _bits(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.float64:
        return tensor.view(torch.int64)
    return tensor.float().view(torch.int32) if tensor.is_floating_point() else tensor


def _saved(checkpoint: Path) -> dict[str, Tensor] | None:
    """Return the weights in a folder, from one file or several; None if it has no such files."""
    for name, load in ((SAFE_WEIGHTS_NAME, load_file), (WEIGHTS_NAME, _load_pickled)):
        if (checkpoint / name).is_file():
            return load(checkpoint / name)
        index = checkpoint / f"{name}.index.json"
        if index.is_file():
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            return {key: value for part in shards for key, value in load(checkpoint / part).items()}
    return None


def _load_pickled(path: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _load(model: nn.Module, weights: dict[str, Tensor]) -> None:
    own = model.state_dict()
    found = _completed(weights, own, model)
    if isinstance(model, PreTrainedModel) and found.keys() != own.keys():
        found = _completed(compat.with_todays_names(model, weights), own, model)
    model.load_state_dict(found)


def _completed(
    weights: dict[str, Tensor], own: dict[str, Tensor], model: nn.Module
) -> dict[str, Tensor]:
    """Return the weights with those that a file leaves out because they need not be saved.

    Of tied weights a file has one, and what a model computes it may leave out.
    """
    places = {_place(own[name]): name for name in weights.keys() & own.keys()}
    computed = compat.names_not_saved(model)
    missing = own.keys() - weights.keys()
    tied = {
        name: weights[places[_place(own[name])]] for name in missing if _place(own[name]) in places
    }
    return {**{name: own[name] for name in missing & computed}, **tied, **weights}


def _place(tensor: Tensor) -> tuple[object, ...]:
    return tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride()
