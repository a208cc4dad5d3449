"""Numbers in order, as far as a pruner needs it."""

from __future__ import annotations

import heapq


class Ranked:
    """Numbers split into the lowest few and the rest; adding one costs O(log n)."""

    __slots__ = ("_lowest", "_rest")

    def __init__(self) -> None:
        self._lowest: list[float] = []  # a heap of the negated numbers: the highest comes first
        self._rest: list[float] = []

    def __len__(self) -> int:
        return len(self._lowest) + len(self._rest)

    def add(self, number: float, lowest: int) -> None:
        """Add a number; ``lowest`` is how many are the lowest from now on, at most one more."""
        heapq.heappush(self._rest, -heapq.heappushpop(self._lowest, -number))
        if len(self._lowest) < lowest:
            heapq.heappush(self._lowest, -heapq.heappop(self._rest))

    def bound(self) -> float:
        """Return the highest of the lowest numbers."""
        return -self._lowest[0]

    def median(self) -> float:
        """Return the median, where half of the numbers, rounded up, are the lowest."""
        if len(self._lowest) > len(self._rest):
            return -self._lowest[0]
        return (self._rest[0] - self._lowest[0]) / 2

    def copy(self) -> Ranked:
        """Return an independent copy."""
        other = Ranked()
        other._lowest, other._rest = self._lowest.copy(), self._rest.copy()
        return other
