"""Where running trials talk to their study, since Tune's own reports go one way only.

Used where Ray runs the trials of another backend, which may suggest while a trial runs, and where
several workers share a trial: one of them asks, and the others read the answers here.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hpsearch.execution.messages import MessageChannel
from hpsearch.study.serial import dumps, loads

if TYPE_CHECKING:
    from hpsearch.execution.messages import Message
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.record import TrialRecord


class _Desk:
    """An actor that workers find by name; text goes both ways."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[tuple[int, str, str]] = asyncio.Queue()
        self._open: dict[int, asyncio.Future[str]] = {}
        self._count = 0
        self._shared: dict[str, dict[str, asyncio.Future[str]]] = {}
        self._left: dict[str, str] = {}

    async def ask(self, trial: str, message: str) -> str:
        """Return the study's reply to a trial."""
        self._count += 1
        ticket = self._count
        self._open[ticket] = asyncio.get_running_loop().create_future()
        await self._asked.put((ticket, trial, message))
        return await self._open[ticket]

    async def share(self, trial: str, key: str, message: str) -> None:
        """Let the other workers of a trial read something."""
        self._note(trial, key).set_result(message)

    async def read(self, trial: str, key: str) -> str:
        """Return what is shared under a key, as soon as it is."""
        return await self._note(trial, key)

    async def leave(self, trial: str, ending: str, alone: bool) -> None:
        """Keep how a worker left its trial: the first that did so alone, else any."""
        self._left.setdefault(f"{trial} alone" if alone else trial, ending)

    async def ending(self, trial: str) -> str | None:
        """Return how a trial that has ended was left, None if nobody said; and forget it."""
        self._shared.pop(trial, None)
        all_left, left_alone = self._left.pop(trial, None), self._left.pop(f"{trial} alone", None)
        return left_alone or all_left

    def _note(self, trial: str, key: str) -> asyncio.Future[str]:
        notes = self._shared.setdefault(trial, {})
        if key not in notes:
            notes[key] = asyncio.get_running_loop().create_future()
        return notes[key]

    async def next(self) -> tuple[int, str, str]:
        """Return the next question: its ticket, the trial, the message."""
        return await self._asked.get()

    async def reply(self, ticket: int, message: str) -> None:
        """Answer the question of that ticket."""
        self._open.pop(ticket).set_result(message)


@contextlib.contextmanager
def open_desk(search: str, answer: Callable[[str, Message], Message]) -> Iterator[None]:
    """Answer what the trials of a search ask, from a thread, as long as the context lasts.

    Args:
        search: The name under which they find the desk.
        answer: From Ray's name of a trial, and its message, to the reply.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote: Any = ray.remote(_Desk).options(
        name=_name(search), num_cpus=0, scheduling_strategy=here
    )
    desk = remote.remote()
    clerk = threading.Thread(target=_serve, args=(desk, answer), name="hpsearch desk", daemon=True)
    clerk.start()
    try:
        yield
    finally:
        ray.kill(desk)
        clerk.join()


def asking(search: str, trial: str, record: TrialRecord) -> Callable[[str, Distribution], Any]:
    """Return what asks the study for a parameter of a trial that runs in this process."""
    return MessageChannel(record, partial(ask, search, trial)).suggest


def ask(search: str, trial: str, message: Message) -> Message:
    """Return the study's reply to a trial that runs in this process."""
    reply: Message = call(search, "ask", trial, message)
    return reply


def call(search: str, method: str, trial: str, *arguments: Any) -> Any:
    """Call a method of the desk from a worker; messages go and come as JSON."""
    desk: Any = ray.get_actor(_name(search))
    texts = [dumps(item) if isinstance(item, dict) else item for item in arguments]
    reply = ray.get(getattr(desk, method).remote(trial, *texts))
    return None if reply is None else loads(reply)


def _serve(desk: Any, answer: Callable[[str, Message], Message]) -> None:
    with contextlib.suppress(RayActorError):  # The desk is closed.
        while True:
            ticket, trial, message = ray.get(desk.next.remote())
            reply = answer(trial, loads(message))
            ray.get(desk.reply.remote(ticket, dumps(reply)))


def _name(search: str) -> str:
    return f"{search}-desk"
