"""Where running trials ask for parameters, since Tune's own reports go one way only.

Used where Ray runs the trials of another backend, which may suggest while a trial runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hpsearch.channel import MessageChannel

if TYPE_CHECKING:
    from hpsearch.channel import Message
    from hpsearch.distributions import Distribution
    from hpsearch_ray.driver import Driver


class _Desk:
    """An actor that workers find by name; text goes both ways."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[tuple[int, str, str]] = asyncio.Queue()
        self._open: dict[int, asyncio.Future[str]] = {}
        self._count = 0

    async def ask(self, trial: str, message: str) -> str:
        """Return the study's reply to a trial."""
        self._count += 1
        ticket = self._count
        self._open[ticket] = asyncio.get_running_loop().create_future()
        await self._asked.put((ticket, trial, message))
        return await self._open[ticket]

    async def next(self) -> tuple[int, str, str]:
        """Return the next question: its ticket, the trial, the message."""
        return await self._asked.get()

    async def reply(self, ticket: int, message: str) -> None:
        """Answer the question of that ticket."""
        self._open.pop(ticket).set_result(message)


@contextlib.contextmanager
def open_desk(search: str, driver: Driver) -> Iterator[None]:
    """Answer what the trials of a search ask, from a thread, as long as the context lasts."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote: Any = ray.remote(_Desk).options(
        name=_name(search), num_cpus=0, scheduling_strategy=here
    )
    desk = remote.remote()
    clerk = threading.Thread(target=_serve, args=(desk, driver), name="hpsearch desk", daemon=True)
    clerk.start()
    try:
        yield
    finally:
        ray.kill(desk)
        clerk.join()


def asking(search: str, trial: str) -> Callable[[str, Distribution], Any]:
    """Return what asks the study for a parameter of a trial that runs in this process."""
    return MessageChannel(partial(_send, search, trial)).suggest


def _serve(desk: Any, driver: Driver) -> None:
    with contextlib.suppress(RayActorError):  # The desk is closed.
        while True:
            ticket, trial, message = ray.get(desk.next.remote())
            reply = driver.asked(trial, json.loads(message))
            ray.get(desk.reply.remote(ticket, json.dumps(reply)))


def _send(search: str, trial: str, message: Message) -> Message:
    desk: Any = ray.get_actor(_name(search))
    reply: Message = json.loads(ray.get(desk.ask.remote(trial, json.dumps(message))))
    return reply


def _name(search: str) -> str:
    return f"{search}-desk"
