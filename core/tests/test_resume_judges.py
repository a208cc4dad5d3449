"""A resumed search judges failures in the order in which trials ended, as the live one did."""

from __future__ import annotations

import math
import random

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.errors import SearchFailedError
from hpsearch.testing.executors import SeveralOpen

COUNT = 10


class InOrder(SeveralOpen):
    """Holds many trials open, and ends them in the order given."""

    def __init__(self, order):
        super().__init__(COUNT)
        self._order = list(order)

    def wait(self):
        numbers = [trial.number for trial in self._submitted]
        self._next = numbers.index(self._order.pop(0))
        return super().wait()


def rows(order, fails):
    """Return the failures in a row: the most, and those at the end."""
    most = row = 0
    for number in order:
        row = row + 1 if number in fails else 0
        most = max(most, row)
    return most, row


def case(seed):
    """Return an order of ends, which trials fail, and how many failures are allowed in a row."""
    draw = random.Random(seed)
    order = draw.sample(range(COUNT), COUNT)
    fails = {*draw.sample(range(COUNT), 6), COUNT}
    return order, fails, rows(order, fails)[0]


def search(fails, path, **options):
    """Return how a search ends: what the error says, and how each trial ended."""

    def objective(trial):
        if trial.number in fails:
            raise ValueError
        return 0.0

    settings = {"backend": "random", "seed": 1, "storage": path, "resume": True, "progress": False}
    try:
        study = hpsearch.search(objective, {"x": Float(0, 1)}, **settings, **options)
    except SearchFailedError as error:
        return str(error), [str(trial.state) for trial in error.study.trials]
    return None, [str(trial.state) for trial in study.trials]


def test_the_cases_tell_the_order_of_ends_from_the_order_of_starts():
    said = set()
    for seed in range(30):
        order, fails, allowed = case(seed)
        by_end = rows(order, fails)[1] >= allowed
        by_start = rows(range(COUNT), fails)[1] >= allowed
        said.add((by_end, by_start))
    assert {(True, False), (False, True)} <= said


@pytest.mark.parametrize("seed", range(30))
def test_a_resumed_search_ends_as_the_live_one(seed, tmp_path):
    order, fails, allowed = case(seed)
    live = search(
        fails,
        tmp_path / "live.db",
        n_trials=COUNT + 1,
        executor=InOrder([*order, COUNT]),
        max_failures=allowed,
    )
    path = tmp_path / "resumed.db"
    search(fails, path, n_trials=COUNT, executor=InOrder(order), max_failures=math.inf)
    resumed = search(fails, path, n_trials=COUNT + 1, max_failures=allowed)
    assert resumed == live
    assert (live[0] is not None) == (rows(order, fails)[1] == allowed)


@pytest.mark.parametrize("seed", range(10))
def test_so_does_a_search_that_is_resumed_twice(seed, tmp_path):
    order, fails, allowed = case(seed)
    fails.add(COUNT + 1)
    ends = []
    for name, totals in (("once", [COUNT]), ("twice", [COUNT, COUNT + 1])):
        for total in totals:
            executor = InOrder(order) if total == COUNT else "inline"
            options = {"executor": executor, "max_failures": math.inf}
            search(fails, tmp_path / name, n_trials=total, **options)
        ends.append(search(fails, tmp_path / name, n_trials=COUNT + 2, max_failures=allowed + 1))
    assert ends[0] == ends[1]
