"""Where a trial ran: what its objective may depend on apart from parameters, seed and data."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import torch
from transformers import TrainingArguments


def environment(args: TrainingArguments) -> dict[str, Any]:
    """Return, as JSON, the versions, device, threads and number of processes of this training."""
    return {
        **_versions(),
        "device": str(args.device),
        "device_name": _device_name(args.device),
        "n_gpu": args.n_gpu,
        "threads": torch.get_num_threads(),
        "world_size": args.world_size,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "accelerate", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.machine()
