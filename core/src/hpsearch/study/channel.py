"""How a running trial talks to its study, wherever it runs.

A :class:`Channel` is the trial's end. In the study's own process it is a :class:`LocalChannel`.
From anywhere else (a worker, another rank, a Ray actor) a :class:`MessageChannel` turns each call
into a JSON message for a transport to carry, and :func:`answer` serves it at the study's end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.errors import HpsearchError
from hpsearch.space import distributions
from hpsearch.space.distributions import Distribution

if TYPE_CHECKING:
    from hpsearch.session.coordinator import History
    from hpsearch.study.trial import Trial

Message = dict[str, Any]
"""A JSON object: ``{"call": name, ...}`` towards the study, ``{"result": ...}`` back."""


class Channel(Protocol):
    """The calls that a running trial can make."""

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        """Hand in an intermediate result, and the folder of a checkpoint if there is one.

        Returns:
            True to ask the trial to stop as pruned.
        """

    def suggest(self, name: str, distribution: Distribution) -> Any:
        """Ask for a value; the same name gets the same value again."""

    def derive(self, values: Mapping[str, Any]) -> None:
        """Hand in what the space function returned beyond the searched parameters."""

    def annotate(self, name: str, value: Any) -> None:
        """Keep a JSON fact with the trial."""

    def stop(self) -> None:
        """Ask the study to start no more trials."""

    def agree(self, name: str, decide: Callable[[], Any]) -> Any:
        """Decide a JSON value once for all processes that run this trial together.

        Where several do, one of them decides, the others get its answer and never call ``decide``.
        """
        return decide()


class LocalChannel(Channel):
    """The channel of a trial that runs in the study's own process."""

    __slots__ = ("_history", "_trial")

    def __init__(self, history: History, trial: Trial) -> None:
        self._history = history
        self._trial = trial

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        return self._history.report(self._trial, step, values)

    def suggest(self, name: str, distribution: Distribution) -> Any:
        return self._history.suggest(self._trial, name, distribution)

    def derive(self, values: Mapping[str, Any]) -> None:
        self._history.derive(self._trial, values)

    def annotate(self, name: str, value: Any) -> None:
        self._history.annotate(self._trial, name, value)

    def stop(self) -> None:
        self._history.request_stop(f"trial {self._trial.number} asked for it")


class MessageChannel(Channel):
    """The channel of a trial that runs elsewhere.

    Args:
        send: Carries one JSON message to the study and returns the JSON reply of :func:`answer`.
    """

    def __init__(self, send: Callable[[Message], Message]) -> None:
        self._send = send

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        return bool(self._call("report", step=step, values=list(values), checkpoint=checkpoint))

    def suggest(self, name: str, distribution: Distribution) -> Any:
        return self._call("suggest", name=name, distribution=distribution.to_dict())

    def derive(self, values: Mapping[str, Any]) -> None:
        self._call("derive", values=dict(values))

    def annotate(self, name: str, value: Any) -> None:
        self._call("annotate", name=name, value=value)

    def stop(self) -> None:
        self._call("stop")

    def _call(self, call: str, **arguments: Any) -> Any:
        reply = self._send({"call": call, **arguments})
        if "error" in reply:
            raise HpsearchError(reply["error"])
        return reply["result"]


def answer(history: History, trial: Trial, message: Message) -> Message:
    """Serve one message of a :class:`MessageChannel` at the study's end.

    A mistake of the trial's (a distribution that changed, a fact that is no JSON) goes back to it
    as an error and fails that trial alone; a backend that breaks its contract raises here.
    """
    from hpsearch.errors import ArgumentError, SpaceError

    local = LocalChannel(history, trial)
    arguments = {name: value for name, value in message.items() if name != "call"}
    if "distribution" in arguments:
        arguments["distribution"] = distributions.from_dict(arguments["distribution"])
    if message["call"] == "report":
        arguments["values"] = tuple(arguments["values"])
    try:
        return {"result": getattr(local, message["call"])(**arguments)}
    except (SpaceError, ArgumentError) as error:
        return {"error": str(error)}
