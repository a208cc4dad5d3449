"""Torch's process group: left when a trial failed, and started again."""

from __future__ import annotations

import gc
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from torch import distributed as dist

from hpsearch.transformers.snapshot import release_frames

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

_CLOSED = 1.0  # seconds in which a process group closes, unless it waits for others


def backend() -> str | None:
    """Return what the process group runs on, such as ``"cpu:gloo,cuda:nccl"``; None without one."""
    return dist.get_backend_config() if dist.is_initialized() else None


def leave(error: BaseException | None) -> None:
    """Leave the process group, which wakes every rank that waits for this one in it.

    Its connections close with the last reference to it. Models hold some, so what a failed trial
    left behind has to go first.

    Args:
        error: What the trial failed with, whose frames still hold its variables.
    """
    if error is not None:
        release_frames(error)
    gc.collect()
    if dist.is_initialized():
        held = [dist.group.WORLD]
        dist.destroy_process_group()
        # With three ranks or more it may close only once others have left, so nobody waits for it.
        closing = threading.Thread(target=held.clear, name="hpsearch leaves", daemon=True)
        closing.start()
        closing.join(_CLOSED)


def start(store: Store, rank: int, size: int, backend: str, timeout: float) -> None:
    """Start the process group again.

    Args:
        store: Where its ranks meet; nobody has met there before.
        rank: This rank.
        size: How many ranks there are.
        backend: What it runs on, as :func:`backend` returned it.
        timeout: Of its collectives, in seconds.
    """
    dist.init_process_group(
        backend,
        store=store,
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=timeout),
    )
