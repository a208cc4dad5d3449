"""The smallest backend of hpsearch: change one parameter of the best trial at a time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from hpsearch import Backend, Capabilities, Study, TrialRecord, hookimpl


class Smallest(Backend):
    """Redraws one parameter of the best trial so far."""

    api_version = 1
    capabilities = Capabilities(log=True, step=True, max_parallel=None, replay=True, seeding=True)

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        self._best: Mapping[str, Any] = {}
        self._cost = float("inf")

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any]:
        assert study.space is not None  # It does not declare define_by_run.
        rng = random.Random(trial.seed)
        drawn = study.space.sample(rng)
        changed = rng.choice(list(drawn))
        return {**drawn, **self._best, changed: drawn[changed]}

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        if trial.objective is None:
            return  # It failed or was pruned.
        cost = trial.objective if study.directions == ("minimize",) else -trial.objective
        if cost < self._cost:
            self._best, self._cost = trial.params, cost
