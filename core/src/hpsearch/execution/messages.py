"""The wire: how a trial that runs in another process talks to its study, in JSON messages.

A request says whose it is and which one: ``{"trial": 3, "request": 7, "call": "report", ...}``.
The reply repeats the request's number: ``{"request": 7, "result": ...}``, or ``{"request": 7,
"error": {"type": ..., "message": ...}}``. So an answer goes to whoever asked, and nobody can speak
for another trial.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from hpsearch.errors import HpsearchError, brief, rebuilt
from hpsearch.space import distributions
from hpsearch.study.channel import Channel
from hpsearch.study.outcome import qualified_name
from hpsearch.study.serial import plain

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.control import Control
    from hpsearch.study.record import TrialRecord

Message: TypeAlias = dict[str, Any]
"""A request or a reply, as plain data."""


class MessageChannel(Channel):
    """The channel of a trial that runs elsewhere. It keeps the trial's copy of its record.

    Args:
        record: The copy.
        send: Carries one request to the study and returns the reply of :func:`answer`. It may be
            called by several threads at a time.
    """

    def __init__(self, record: TrialRecord, send: Callable[[Message], Message]) -> None:
        self._record = record
        self._send = send
        self._requests = count()
        self._process = os.getpid()

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        prune = self._call("report", step=step, values=list(values), checkpoint=checkpoint)
        self._record.report(step, values)
        return bool(prune)

    def suggest(self, name: str, distribution: Distribution) -> Any:
        value = self._call("suggest", name=name, distribution=distribution.to_dict())
        self._record.suggest(name, value, distribution)
        return value

    def derive(self, values: Mapping[str, Any]) -> None:
        facts = plain("the space function returned", values)
        self._call("derive", values=facts)
        self._record.derive(facts)

    def constrain(self, name: str, value: float) -> None:
        self._call("constrain", name=name, value=value)
        self._record.constrain(name, value)

    def annotate(self, name: str, value: Any) -> None:
        fact = plain(f"the fact {name!r} is", value)
        self._call("annotate", name=name, value=fact)
        self._record.annotate(name, fact)

    def stop(self) -> None:
        self._call("stop")

    def _call(self, call: str, **arguments: Any) -> Any:
        number, request = self._record.number, next(self._requests)
        if os.getpid() != self._process:
            raise HpsearchError(
                f"trial {number} runs in process {self._process}; process {os.getpid()}, which was "
                "forked from it, cannot talk to the study"
            )
        reply = self._send({"trial": number, "request": request, "call": call, **arguments})
        if reply.get("request") != request:
            raise HpsearchError(f"trial {number} asked {request} and got the reply {brief(reply)}")
        if "error" in reply:
            raise rebuilt(reply["error"]["type"], reply["error"]["message"])
        return reply["result"]


def answer(control: Control, trial: TrialRecord | None, message: Message) -> Message:
    """Serve one request of a :class:`MessageChannel` at the study's end.

    A mistake of the trial's (a distribution that changed, a fact that is not JSON, a request after
    the trial's end) goes back to it as an error and fails that trial alone. What breaks the search
    is raised here.

    Args:
        control: The search.
        trial: The trial for which whoever carried the message stands, None for none.
        message: The request.
    """
    reply: Message = {"request": message.get("request")}
    try:
        return {**reply, "result": _served(control, trial, message)}
    except HpsearchError as error:
        if control.broken is not None:
            raise
        said = {"type": qualified_name(type(error)), "message": str(error)}
        return {**reply, "error": said}


def _served(control: Control, trial: TrialRecord | None, message: Message) -> Any:
    if trial is None or message.get("trial") != trial.number:
        raise HpsearchError(
            f"trial {message.get('trial')} has ended; it cannot talk to its study any more"
        )
    call = _CALLS.get(message.get("call", ""))
    if call is None:
        raise HpsearchError(f"a trial cannot call {message.get('call')!r}")
    return call(control.channel(trial), message)


_CALLS: Mapping[str, Callable[[Channel, Message], Any]] = {
    "report": lambda channel, message: channel.report(
        message["step"], tuple(message["values"]), message["checkpoint"]
    ),
    "suggest": lambda channel, message: channel.suggest(
        message["name"], distributions.from_dict(message["distribution"])
    ),
    "derive": lambda channel, message: channel.derive(message["values"]),
    "constrain": lambda channel, message: channel.constrain(message["name"], message["value"]),
    "annotate": lambda channel, message: channel.annotate(message["name"], message["value"]),
    "stop": lambda channel, _message: channel.stop(),
}
