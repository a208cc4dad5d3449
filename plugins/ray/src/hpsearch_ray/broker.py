"""Where running trials talk to their study, since Tune's own reports go one way only.

Used where Ray runs the trials of another backend, which may suggest while a trial runs, and where
several workers share a trial: one of them asks, and the others read the answers here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hpsearch.errors import BackendError, HpsearchError
from hpsearch.execution.messages import MessageChannel
from hpsearch.study.outcome import qualified_name
from hpsearch.study.serial import dumps, loads

if TYPE_CHECKING:
    from hpsearch.execution.messages import Message
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.record import TrialRecord

logger = logging.getLogger("hpsearch")

_PATIENCE = 30.0
"""Seconds that the thread of the server has to end."""


class _Broker:
    """An actor that workers find by name; text goes both ways."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[tuple[int, str, str]] = asyncio.Queue()
        self._open: dict[int, asyncio.Future[str]] = {}
        self._count = 0
        self._failure: str | None = None
        self._shared: dict[str, dict[str, asyncio.Future[str]]] = {}
        self._left: dict[str, str] = {}

    async def ask(self, trial: str, message: str) -> str:
        """Return the study's reply to a trial."""
        if self._failure is not None:
            return self._failure
        self._count += 1
        ticket = self._count
        self._open[ticket] = asyncio.get_running_loop().create_future()
        await self._asked.put((ticket, trial, message))
        return await self._open[ticket]

    async def share(self, trial: str, key: str, message: str) -> str:
        """Let the other workers of a trial read something; return the first that has this key."""
        shared = self._value(trial, key)
        if not shared.done():
            shared.set_result(message)
        return shared.result()

    async def read(self, trial: str, key: str) -> str:
        """Return what is shared under a key, as soon as it is."""
        return await self._value(trial, key)

    async def leave(self, trial: str, ending: str, alone: bool) -> None:
        """Keep how a worker left its trial: the first that did so alone, else any."""
        self._left.setdefault(f"{trial} alone" if alone else trial, ending)

    async def ending(self, trial: str) -> str | None:
        """Return how a trial that has ended was left, None if nobody said; and forget it."""
        self._shared.pop(trial, None)
        all_left, left_alone = self._left.pop(trial, None), self._left.pop(f"{trial} alone", None)
        return left_alone or all_left

    def _value(self, trial: str, key: str) -> asyncio.Future[str]:
        values = self._shared.setdefault(trial, {})
        if key not in values:
            values[key] = asyncio.get_running_loop().create_future()
        return values[key]

    async def next(self) -> tuple[int, str, str]:
        """Return the next question: its ticket, the trial, the message."""
        return await self._asked.get()

    async def reply(self, ticket: int, message: str) -> None:
        """Answer the question of that ticket."""
        question = self._open.pop(ticket, None)
        if question is not None and not question.done():
            question.set_result(message)

    async def fail(self, message: str) -> None:
        """Answer every open question, and all that come, with an error."""
        self._failure = message
        for ticket in list(self._open):
            await self.reply(ticket, message)


@contextlib.contextmanager
def serving(
    search: str,
    answer: Callable[[str, Message], Message],
    fail: Callable[[Exception], None],
) -> Iterator[None]:
    """Answer what the trials of a search ask, from a thread, as long as the context lasts.

    Args:
        search: The name under which they find the broker.
        answer: From Ray's name of a trial, and its message, to the reply.
        fail: Gets what went wrong in the thread, if anything did; every trial then gets an error.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote: Any = ray.remote(_Broker).options(
        name=_name(search), num_cpus=0, scheduling_strategy=here
    )
    broker = remote.remote()
    closing = threading.Event()
    server = threading.Thread(
        target=_serve, args=(broker, answer, fail, closing), name="hpsearch broker", daemon=True
    )
    server.start()
    try:
        yield
    finally:
        closing.set()
        try:
            ray.kill(broker)
        finally:
            server.join(_PATIENCE)
            if server.is_alive():
                logger.warning("the thread %r did not end in %g s", server.name, _PATIENCE)


def asking(search: str, trial: str, record: TrialRecord) -> Callable[[str, Distribution], Any]:
    """Return what asks the study for a parameter of a trial that runs in this process."""
    return MessageChannel(record, partial(ask, search, trial)).suggest


def ask(search: str, trial: str, message: Message) -> Message:
    """Return the study's reply to a trial that runs in this process."""
    reply: Message = loads(ray.get(_find(search).ask.remote(trial, dumps(message))))
    # The reply to all, once the server has failed, has no number.
    return {"request": message.get("request"), **reply}


def share(search: str, trial: str, key: str, message: Message) -> Message:
    """Let the other workers of a trial read a message; return the first that has this key."""
    shared: Message = loads(ray.get(_find(search).share.remote(trial, key, dumps(message))))
    return shared


def read(search: str, trial: str, key: str) -> Message:
    """Return what another worker of the trial shares under a key, as soon as it does."""
    shared: Message = loads(ray.get(_find(search).read.remote(trial, key)))
    return shared


def leave(search: str, trial: str, ending: Message, *, alone: bool) -> None:
    """Say how a worker left its trial, and whether it did so alone."""
    ray.get(_find(search).leave.remote(trial, dumps(ending), alone))


def ending(search: str, trial: str) -> Message | None:
    """Return how the workers left a trial that has ended, None if none of them said."""
    text = ray.get(_find(search).ending.remote(trial))
    return None if text is None else loads(text)


def error_reply(message: Message, error: HpsearchError) -> Message:
    """Return the reply to a message that cannot be served."""
    said = {"type": qualified_name(type(error)), "message": str(error)}
    return {"request": message.get("request"), "error": said}


def _find(search: str) -> Any:
    return ray.get_actor(_name(search))


def _serve(
    broker: Any,
    answer: Callable[[str, Message], Message],
    fail: Callable[[Exception], None],
    closing: threading.Event,
) -> None:
    try:
        while True:
            ticket, trial, message = ray.get(broker.next.remote())
            reply = answer(trial, loads(message))
            ray.get(broker.reply.remote(ticket, dumps(reply)))
    except BaseException as error:  # noqa: BLE001 - it ends the search, in the search's own thread
        if closing.is_set():
            return
        problem = BackendError(
            f"what answers the trials on Ray failed: {type(error).__name__}: {error}"
        )
        problem.__cause__ = error
        fail(problem)
        reply = {"error": error_reply({}, problem)["error"]}  # for all, so it has no number
        with contextlib.suppress(RayError):  # the broker is dead, and the trials know it
            ray.get(broker.fail.remote(dumps(reply)))


def _name(search: str) -> str:
    return f"{search}-broker"
