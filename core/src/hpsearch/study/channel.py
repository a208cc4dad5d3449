"""A :class:`Channel`: how a running trial talks to its study, wherever it runs.

In the study's own process it is the :class:`~hpsearch.session.local.LocalChannel`; from anywhere
else (a worker, another rank, a Ray actor) a :class:`~hpsearch.execution.messages.MessageChannel`
turns each call into a JSON message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution


class Channel(Protocol):
    """The calls that a running trial can make. Each also writes the trial's record.

    Safe to call from several threads of the trial. A trial that has ended gets an error.
    """

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        """Hand in an intermediate result, and the folder of a checkpoint if there is one.

        Returns:
            True to ask the trial to stop as pruned.
        """

    def suggest(self, name: str, distribution: Distribution) -> Any:
        """Ask for a value; the same name gets the same value again."""

    def derive(self, values: Mapping[str, Any]) -> None:
        """Hand in what the space function returned beyond the searched parameters."""

    def constrain(self, name: str, value: float) -> None:
        """Keep the value of a constraint with the trial."""

    def annotate(self, name: str, value: Any) -> None:
        """Keep a JSON fact with the trial."""

    def stop(self) -> None:
        """Ask the study to start no more trials."""

    def agree(self, name: str, decide: Callable[[], Any]) -> Any:
        """Decide a JSON value once for all processes that run this trial together.

        Where several do, one of them decides, the others get its answer and never call ``decide``.
        """
        return decide()
