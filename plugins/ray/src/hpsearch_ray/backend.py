"""The backend: Tune owns the loop, and the history hears of everything in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpsearch.plugins.backend import USUAL, Backend, Capabilities
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch_ray.options import INSTEAD, RayOptions

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_ray.setup import TuneSetup


class RayBackend(Backend):
    """Ray Tune's search algorithms, schedulers and workers."""

    api_version = 1
    capabilities = replace(USUAL, owns_loop=True, dialect="ray")
    Options = RayOptions
    instead = INSTEAD

    _setup: TuneSetup

    def __init__(self, options: RayOptions) -> None:
        super().__init__(options)
        self._running = False

    @classmethod
    def capabilities_for(cls, options: RayOptions) -> Capabilities:
        """Return what Ray can do with this search algorithm and this scheduler."""
        return replace(
            cls.capabilities,
            checkpoints=options.checkpoints,
            multi_objective=options.search_alg is None and options.scheduler is None,
            pruning=options.scheduler is not None,
            replay=options.learns_from_others,
            seeding=options.search_alg is None,
        )

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        from hpsearch_ray.setup import TuneSetup

        self._setup = TuneSetup.of(study, self.options)

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        from hpsearch_ray import loop

        self._running = True
        loop.run(study, evaluate, self.options, self._setup)
        return True

    @hookimpl
    def hpsearch_tell(self, trial: TrialRecord) -> None:
        # Tune tells the search algorithm itself of what it suggested.
        if not self._running or trial.fixed:
            assert self._setup.proposals is not None
            self._setup.proposals.replay(trial)
