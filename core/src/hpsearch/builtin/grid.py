"""Grid search: every point of a finite space once, then the search ends."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.errors import SpaceError
from hpsearch.plugins.backend import EXHAUSTED, Backend, Capabilities, Exhausted
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.validators import check_options, flag

if TYPE_CHECKING:
    from hpsearch.space.space import Space
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


@dataclass(frozen=True, slots=True)
class GridOptions:
    """Options of the grid.

    Attributes:
        shuffle: Try the points in a random order, decided by the study's seed, instead of the
            order in which the space lists them. The whole grid is then held in memory.
    """

    shuffle: bool = False

    def __post_init__(self) -> None:
        check_options(self, flag, "shuffle")


class GridBackend(Backend):
    """Every combination of the parameters' values, the last parameter changing fastest."""

    api_version = 1
    capabilities = Capabilities(
        log=True,
        step=True,
        conditions=True,
        multi_objective=True,
        max_parallel=None,
        replay=True,
        seeding=True,
        exhaustible=True,
    )
    Options = GridOptions

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        assert study.space is not None  # The core refuses a define-by-run search beforehand.
        self._points = points(study.space)
        if self.options.shuffle:
            shuffled = list(self._points)
            random.Random(study.seed).shuffle(shuffled)
            self._points = iter(shuffled)
        self._tried: set[tuple[tuple[str, Any], ...]] = set()

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        for point in self._points:
            # A point that was resumed or enqueued has been tried without being suggested.
            if _key(point) not in self._tried:
                return point
        return EXHAUSTED

    @hookimpl
    def hpsearch_start(self, study: Study, trial: TrialRecord) -> None:
        self._tried.add(_key(trial.params))

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        self._tried.add(_key(trial.params))


def points(space: Space) -> Iterator[dict[str, Any]]:
    """Yield every point of a finite space.

    Raises:
        SpaceError: A parameter has infinitely many values; the message names it.
    """
    values = {name: d.values() for name, d in space.parameters.items()}
    for name, finite in values.items():
        if finite is None:
            raise SpaceError(
                f"parameter {name!r} is {space.parameters[name]}: infinitely many values, which a "
                "grid cannot list; give it a step, or choices"
            )
    return _extend({}, space)


def _extend(point: dict[str, Any], space: Space) -> Iterator[dict[str, Any]]:
    for name, distribution in space.active(point):
        if name not in point:
            for value in distribution.values() or ():
                yield from _extend({**point, name: value}, space)
            return
    yield point


def _key(point: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, repr(value)) for name, value in point.items()))
