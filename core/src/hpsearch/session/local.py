"""The channel of a trial that runs in the study's own process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpsearch.study.channel import Channel

if TYPE_CHECKING:
    from hpsearch.session.coordinator import Coordinator
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.record import TrialRecord


class LocalChannel(Channel):
    """Hands each call of one trial to the coordinator."""

    __slots__ = ("_coordinator", "_trial")

    def __init__(self, coordinator: Coordinator, trial: TrialRecord) -> None:
        self._coordinator = coordinator
        self._trial = trial

    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        return self._coordinator.report(self._trial, step, values)

    def suggest(self, name: str, distribution: Distribution) -> Any:
        return self._coordinator.suggest(self._trial, name, distribution)

    def derive(self, values: Mapping[str, Any]) -> None:
        self._coordinator.derive(self._trial, values)

    def constrain(self, name: str, value: float) -> None:
        self._coordinator.constrain(self._trial, name, value)

    def annotate(self, name: str, value: Any) -> None:
        self._coordinator.annotate(self._trial, name, value)

    def stop(self) -> None:
        self._coordinator.request_stop(f"trial {self._trial.number} asked for it")
