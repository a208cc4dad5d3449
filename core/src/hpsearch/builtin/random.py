"""Random search: each trial is drawn independently, from a seed of its own.

The draw depends on the study's seed and the trial's number alone: not on the order in which trials
end, on how many run at a time, or on how often the search was resumed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.plugins.backend import USUAL, Backend
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.study.seeds import derive_seed

if TYPE_CHECKING:
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


class RandomBackend(Backend):
    """Independent draws from the space, or from each parameter as a running trial asks for it."""

    api_version = 1
    capabilities = replace(USUAL, define_by_run=True)

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any]:
        if study.space is None:
            return {}
        return study.space.sample(random.Random(trial.seed))

    @hookimpl
    def hpsearch_suggest_parameter(
        self, trial: TrialRecord, name: str, distribution: Distribution
    ) -> Any:
        if name in trial.fixed:
            return trial.fixed[name]
        return distribution.sample(random.Random(derive_seed(trial.seed, name)))
