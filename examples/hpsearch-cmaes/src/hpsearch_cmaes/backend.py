"""CMA-ES as a backend of hpsearch: the whole plugin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpsearch import Backend, Capabilities, Float, Int, Study, TrialRecord, hookimpl
from hpsearch.errors import OptionError, SpaceError
from hpsearch.space.distributions import Distribution


@dataclass(frozen=True, slots=True)
class CmaesOptions:
    """Options of CMA-ES.

    Attributes:
        sigma: How far the first trials spread, as a share of each range; above 0, at most 1.
        population_size: Trials of a generation, at least 4; None lets cmaes choose.
    """

    sigma: float = 0.25
    population_size: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.sigma <= 1:
            raise OptionError(f"sigma is {self.sigma!r}, expected above 0 and at most 1")
        if self.population_size is not None and self.population_size < 4:
            raise OptionError(f"population_size is {self.population_size!r}, expected at least 4")


class CmaesBackend(Backend):
    """CMA-ES with margin over numbers (Hamano et al. 2022, arXiv:2205.13482)."""

    api_version = 1
    capabilities = Capabilities(log=True, step=True, max_parallel=None, replay=True, seeding=True)
    Options = CmaesOptions

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        assert study.space is not None  # The core refuses what the capabilities leave out.
        self._axes = {name: Axis(name, d) for name, d in study.space.parameters.items()}
        self._asked: dict[int, Any] = {}
        self._told: list[tuple[Any, float]] = []
        self._restart()

    @hookimpl
    def hpsearch_suggest(self, trial: TrialRecord) -> Mapping[str, Any]:
        self._optimizer.reseed_rng(trial.seed)  # So a resumed search draws nothing twice.
        point, self._asked[trial.number] = self._optimizer.ask()
        axes = zip(self._axes.items(), point.tolist(), strict=True)
        return {name: axis.value_at(position) for (name, axis), position in axes}

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        point = self._asked.pop(trial.number, None)
        if trial.objective is None:
            return  # CMA-ES ranks results; a failed or pruned trial has none.
        if point is None:  # Enqueued, retried or resumed: not our suggestion.
            point = [axis.position_of(trial.params[name]) for name, axis in self._axes.items()]
        sign = 1.0 if study.directions[0] == "minimize" else -1.0
        self._told.append((point, sign * trial.objective))
        if len(self._told) == self._optimizer.population_size:
            self._optimizer.tell(self._told)
            self._told = []
            if self._optimizer.should_stop():
                self._restart()

    def _restart(self) -> None:
        import numpy  # Engines load here, and never with the module.
        from cmaes import CMAwM

        self._optimizer = CMAwM(
            mean=numpy.full(len(self._axes), 0.5),
            sigma=self.options.sigma,
            bounds=numpy.array([[0.0, 1.0]] * len(self._axes)),
            steps=numpy.array([axis.step for axis in self._axes.values()]),
            population_size=self.options.population_size,
        )


class Axis:
    """A parameter as a position from 0 to 1 on its own scale."""

    def __init__(self, name: str, d: Distribution) -> None:
        if not isinstance(d, Float | Int):
            raise SpaceError(
                f"parameter {name!r} is {d}; CMA-ES searches numbers: use Float or Int"
            )
        # On a log scale integers are rounded; half a unit more gives both ends their share.
        scale, margin = math.log if d.log else float, 0.5 if d.log and isinstance(d, Int) else 0.0
        self.low, self.high = scale(d.low - margin), scale(d.high + margin)
        self.step = 0.0 if d.log or d.low == d.high else (d.step or 0.0) / (d.high - d.low)
        self._distribution = d

    def value_at(self, position: float) -> float | int:
        d, value = self._distribution, self.low + position * (self.high - self.low)
        value = math.exp(value) if d.log else value
        if d.step:
            value = d.low + d.step * round((value - d.low) / d.step)
        value = min(max(value, d.low), d.high)
        return int(value) if isinstance(d, Int) else float(value)

    def position_of(self, value: float) -> float:
        scaled = math.log(value) if self._distribution.log else value
        return (scaled - self.low) / (self.high - self.low or 1.0)
