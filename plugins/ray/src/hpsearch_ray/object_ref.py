"""Giving an evaluation to every worker of a search, once, through Ray's object store."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate


class _Holder:
    """An actor that holds the reference, so that workers find it by name.

    A reference that a function carried itself would keep the object until this process ends.
    """

    def __init__(self, references: list[ray.ObjectRef[bytes]], path: list[str]) -> None:
        self._references = references
        self._path = path

    def held(self) -> tuple[list[ray.ObjectRef[bytes]], list[str]]:
        return self._references, self._path


@contextlib.contextmanager
def sent(packed: bytes, name: str) -> Iterator[None]:
    """Let workers receive a packed evaluation under a name, as long as the context lasts."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    holder: Any = ray.remote(_Holder).options(name=name, num_cpus=0, scheduling_strategy=here)
    actor = holder.remote([ray.put(packed)], [*map(str, sys.path)])
    try:
        yield
    finally:
        ray.kill(actor)


_received: dict[str, Evaluate] = {}
"""The evaluation of the search whose trials run in this process."""


def received(name: str) -> Evaluate:
    """Return the evaluation of that name, unpickled once in each process.

    Its arrays are then this process's own, and writable; those in Ray's store are not.
    """
    if name not in _received:
        _received.clear()
        holder: Any = ray.get_actor(name)
        (reference,), path = ray.get(holder.held.remote())
        _look_in(path)
        _received[name] = pickle.loads(ray.get(reference))  # noqa: S301 - the driver packed it
    return _received[name]


def _look_in(path: Sequence[str]) -> None:
    """Look for modules where the driver does, as far as these places exist here.

    Ray itself passes on the script's folder alone. A model with code of its own is found through
    a folder that transformers put on ``sys.path`` while the driver ran.
    """
    known = [place for place in path if place and Path(place).exists()]
    sys.path[:] = [*known, *(place for place in sys.path if place not in known)]
