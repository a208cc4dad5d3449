"""Giving an evaluation to every worker of a search, once, through Ray's object store."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate


class _Holder:
    """An actor that holds the reference, so that workers find it by name.

    A reference that a function carried itself would keep the object until this process ends.
    """

    def __init__(self, references: list[ray.ObjectRef[bytes]]) -> None:
        self._references = references

    def references(self) -> list[ray.ObjectRef[bytes]]:
        return self._references


@contextlib.contextmanager
def sent(packed: bytes, name: str) -> Iterator[None]:
    """Let workers receive a packed evaluation under a name, as long as the context lasts."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    holder: Any = ray.remote(_Holder).options(name=name, num_cpus=0, scheduling_strategy=here)
    actor = holder.remote([ray.put(packed)])
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
        (reference,) = ray.get(holder.references.remote())
        _received[name] = pickle.loads(ray.get(reference))  # noqa: S301 - the driver packed it
    return _received[name]
