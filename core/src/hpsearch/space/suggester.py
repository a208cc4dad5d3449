"""The ``suggest_*`` methods, for whatever answers them: a running trial, or a reader of a space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.space.distributions import Categorical, Float, Int

if TYPE_CHECKING:
    from hpsearch.space.distributions import Choice, Distribution


class Suggester:
    """What a define-by-run function talks to."""

    __slots__ = ()

    @abstractmethod
    def suggest(self, name: str, distribution: Distribution) -> Any:
        """Suggest a value for a parameter of the given distribution."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggest a real number in ``[low, high]``; see :class:`~hpsearch.space.Float`."""
        value: float = self.suggest(name, Float(low, high, step=step, log=log))
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Suggest a whole number in ``[low, high]``; see :class:`~hpsearch.space.Int`."""
        value: int = self.suggest(name, Int(low, high, step=step, log=log))
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Any:
        """Suggest one of the choices; see :class:`~hpsearch.space.Categorical`."""
        return self.suggest(name, Categorical(choices))
