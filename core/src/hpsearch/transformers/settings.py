"""What a trial may set for its whole process, kept before it and put back after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch


@contextmanager
def process_settings() -> Iterator[None]:
    """Put back the working directory and PyTorch's settings that change what a training computes.

    Environment variables stay: accelerate keeps in them what it has set up in this process.
    """
    folder = _working_directory()
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn
    flags = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    try:
        yield
    finally:
        if folder is not None and folder != _working_directory():
            with suppress(OSError):  # somebody has deleted it
                os.chdir(folder)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(deterministic, warn_only=warns_only)
        for name, value in flags.items():
            setattr(cudnn, name, value)


def _working_directory() -> Path | None:
    with suppress(FileNotFoundError):  # somebody has deleted it
        return Path.cwd()
    return None
