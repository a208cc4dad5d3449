"""Grid search: every point of a finite space once, then the search ends."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpsearch.errors import SpaceError
from hpsearch.plugins.backend import EXHAUSTED, USUAL, Backend, Exhausted
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.space.space import Space
from hpsearch.validators import check_options, flag

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


@dataclass(frozen=True, slots=True)
class GridOptions:
    """Options of the grid.

    Attributes:
        shuffle: Try the points in a random order, decided by the study's seed, instead of the
            order in which the space lists them.
    """

    shuffle: bool = False

    def __post_init__(self) -> None:
        check_options(self, flag, "shuffle")


class GridBackend(Backend):
    """Every combination of the parameters' values, the last parameter changing fastest."""

    api_version = 1
    capabilities = replace(USUAL, exhaustible=True)
    Options = GridOptions

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        assert study.space is not None  # The core refuses a define-by-run search beforehand.
        listed = points(study.space)
        if self.options.shuffle:
            listed = _shuffled(study.space, random.Random(study.seed))
        self._untried = Untried(listed)

    @hookimpl
    def hpsearch_suggest(self) -> Mapping[str, Any] | Exhausted:
        return self._untried.next()

    @hookimpl
    def hpsearch_start(self, trial: TrialRecord) -> None:
        self._untried.remove(trial.params)

    @hookimpl
    def hpsearch_tell(self, trial: TrialRecord) -> None:
        self._untried.remove(trial.params)


class Untried:
    """The points that no trial has had yet, in the order given."""

    def __init__(self, points: Iterator[dict[str, Any]]) -> None:
        self._points = points
        self._tried: set[tuple[tuple[str, str], ...]] = set()

    def next(self) -> Mapping[str, Any] | Exhausted:
        """Return the next point, or ``EXHAUSTED``."""
        for point in self._points:
            # A point that was resumed or enqueued has been tried without being suggested.
            if _key(point) not in self._tried:
                return point
        return EXHAUSTED

    def remove(self, point: Mapping[str, Any]) -> None:
        """Take note of a point that a trial has."""
        self._tried.add(_key(point))


def points(space: Space) -> Iterator[dict[str, Any]]:
    """Yield every point of a finite space, the last parameter changing fastest.

    Points are made when they are asked for, so the first ones of any space cost nothing.

    Raises:
        SpaceError: A parameter has infinitely many values; the message names it.
    """
    for name, distribution in space.parameters.items():
        if distribution.values() is None:
            raise SpaceError(
                f"parameter {name!r} is {distribution}: infinitely many values, which a "
                "grid cannot list; give it a step, or choices"
            )
    return _every_point(space)


def _every_point(space: Space) -> Iterator[dict[str, Any]]:
    point: dict[str, Any] = {}
    left: list[tuple[str, Iterator[Any]]] = []
    while True:
        for name, distribution in space.active(point):
            if name not in point:
                left.append((name, iter(distribution.values() or ())))
                point[name] = next(left[-1][1])
        yield dict(point)
        # Go on with the last parameter that has another value; those after it begin again.
        while left:
            name, values = left[-1]
            del point[name]
            try:
                point[name] = next(values)
                break
            except StopIteration:
                left.pop()
        if not left:
            return


def _shuffled(space: Space, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield every point of a finite space in a random order, without a list of them.

    The values of all parents make a branch. The other parameters of a branch do not depend on each
    other, so that a point's number says which value each of them has.
    """
    parents = {parent for condition in space.conditions.values() for parent in condition.parents}
    skeleton = Space(
        {name: item for name, item in space.parameters.items() if name in parents},
        {name: item for name, item in space.conditions.items() if name in parents},
    )
    branches: list[dict[str, Any]] = []
    ends = [0]
    for branch in _every_point(skeleton):
        free = [item.size() or 0 for name, item in space.active(branch) if name not in branch]
        branches.append(branch)
        ends.append(ends[-1] + math.prod(free))
    for number in _permutation(ends[-1], rng):
        index = bisect.bisect_right(ends, number) - 1
        branch, rest = branches[index], number - ends[index]
        active = list(space.active(branch))
        point: dict[str, Any] = {}
        for name, distribution in reversed(active):
            if name in branch:
                point[name] = branch[name]
            else:
                rest, digit = divmod(rest, distribution.size() or 1)
                point[name] = (distribution.values() or ())[digit]
        yield {name: point[name] for name, _ in active}


def _permutation(count: int, rng: random.Random) -> Iterator[int]:
    """Yield the numbers below ``count`` in a random order; remember only those that were moved."""
    moved: dict[int, int] = {}
    for first in range(count):
        chosen = rng.randrange(first, count)
        number = moved.get(chosen, chosen)
        moved[chosen] = moved.pop(first, first)
        yield number


def _key(point: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in point.items()))
