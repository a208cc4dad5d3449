"""The backend keeps the contract that the conformance kit states, with each way of choosing."""

from __future__ import annotations

from typing import ClassVar

from hpsearch.distributions import Int
from hpsearch.testing import BackendConformance

HYPERBAND = {"early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2}}
BAD = {"mode": "onlin", "method": "baies", "project": "", "tags": "text", "base_url": "wandb.ai"}


class TestOffline(BackendConformance):
    """Random, with an offline run for every trial: each takes a seventh of a second."""

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
