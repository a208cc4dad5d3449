"""The backend keeps the contract that the conformance kit states, with each way of choosing."""

from __future__ import annotations

from typing import ClassVar

from hpsearch.space.distributions import Categorical, Int
from hpsearch.testing import BackendConformance

HYPERBAND = {"early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2}}
BAD = {"mode": "onlin", "method": "baies", "project": "", "tags": "text", "base_url": "wandb.ai"}


class TestOffline(BackendConformance):
    """Random, with an offline run for every trial."""

    backend = "wandb"
    n_trials = 8
    options: ClassVar = {"mode": "offline"}
    bad_options = BAD
    pruning_options = HYPERBAND


class TestBayes(BackendConformance):
    """W&B's engine chooses."""

    backend = "wandb"
    options: ClassVar = {"mode": "disabled", "method": "bayes"}
    pruning_options = HYPERBAND


class TestGrid(BackendConformance):
    """A grid, which needs finite spaces."""

    backend = "wandb"
    options: ClassVar = {"mode": "disabled", "method": "grid"}
    space: ClassVar = {"x": Int(0, 5), "y": Int(-5, 5)}
    refuses = frozenset({"float", "float-log"})
    pruning_options = HYPERBAND

    def test_different_seeds_give_different_suggestions(self) -> None:
        """W&B's grid has one order, whatever the seed."""
        space = {"n": Int(1, 3), "kind": Categorical(["a", "b"])}
        for seed in (1, 2):
            study = self.search(lambda trial: 0.0, space, seed=seed)
            assert [(trial["kind"], trial["n"]) for trial in study.trials] == [
                ("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)
            ]  # fmt: skip
