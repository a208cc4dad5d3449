"""The core's own backends keep the contract that they ask of others."""

from __future__ import annotations

from hpsearch import Categorical, Float, Int
from hpsearch.testing import BackendConformance


class TestRandom(BackendConformance):
    backend = "random"


class TestGrid(BackendConformance):
    backend = "grid"
    options = {"shuffle": True}
    space = {"x": Float(0.0, 1.0, step=0.25), "n": Int(1, 5)}
    refuses = frozenset({"float", "float-log"})
    bad_options = {"shuffle": "yes"}


class TestGridInOrder(TestGrid):
    options = {}

    def test_different_seeds_give_different_suggestions(self):
        """Unless it is shuffled, a grid has one order, whatever the seed."""
        space = {"n": Int(1, 3), "kind": Categorical(["a", "b"])}
        for seed in (1, 2):
            study = self.search(lambda trial: 0.0, space, seed=seed)
            assert [tuple(trial.values()) for trial in study.trials] == [
                (1, "a"), (1, "b"), (2, "a"), (2, "b"), (3, "a"), (3, "b")
            ]  # fmt: skip
