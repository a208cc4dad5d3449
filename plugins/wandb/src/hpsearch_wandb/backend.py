"""The backend: a W&B sweep, chosen here and reported offline, or owned by a W&B server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.backend import Backend, Capabilities
from hpsearch.engines import Engine
from hpsearch.hookspecs import hookimpl
from hpsearch_wandb.options import WandbOptions, mode_of
from hpsearch_wandb.sweep import Sweep

if TYPE_CHECKING:
    from hpsearch.evaluate import Evaluate
    from hpsearch.study import Study
    from hpsearch_wandb.online import Online

OFFLINE = Capabilities(
    log=True,
    step=True,
    conditions=True,
    pruning=True,
    max_parallel=None,
    replay=True,
    seeding=True,
    exhaustible=True,
    dialect="wandb",
)
ONLINE = replace(OFFLINE, owns_loop=True, max_parallel=1, seeding=False, exhaustible=True)


class WandbBackend(Backend):
    """A W&B sweep: ``wandb.agent`` runs it online, the core's own loop offline."""

    api_version = 1
    capabilities = OFFLINE
    Options = WandbOptions
    engine = Engine("wandb", requirements=())

    _online: Online | None = None

    @classmethod
    def capabilities_for(cls, options: WandbOptions) -> Capabilities:
        """Return what a sweep can do where these options have it run."""
        return ONLINE if mode_of(options) == "online" else OFFLINE

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        sweep = Sweep.of(study, self.options)
        if study.capabilities.owns_loop:
            from hpsearch_wandb.online import Online

            self._online = Online(study, sweep, self.options)

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool | None:
        if self._online is None:
            return None  # Offline the core's own loop asks for each trial.
        self._online.run(evaluate)
        return True

    @hookimpl
    def hpsearch_close(self, study: Study, error: BaseException | None) -> Any:
        if self._online is not None:
            self._online.close()
