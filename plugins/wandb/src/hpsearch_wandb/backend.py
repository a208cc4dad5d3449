"""The backend: a W&B sweep, chosen here and reported offline, or owned by a W&B server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.backend import Backend, Capabilities, Exhausted
from hpsearch.hookspecs import hookimpl
from hpsearch_wandb import runs
from hpsearch_wandb.choosing import make_chooser
from hpsearch_wandb.engine import ENGINE, Hyperband
from hpsearch_wandb.options import WandbOptions, mode_of
from hpsearch_wandb.sweep import Sweep

if TYPE_CHECKING:
    from hpsearch.study import Study
    from hpsearch.trial import Trial
    from hpsearch_wandb.choosing import Chooser
    from hpsearch_wandb.online import OnlineSweep

OFFLINE = Capabilities(
    log=True,
    step=True,
    conditions=True,
    pruning=True,
    max_parallel=None,
    replay=True,
    seeding=True,
    dialect="wandb",
)
ONLINE = replace(OFFLINE, max_parallel=1, seeding=False)


class WandbBackend(Backend):
    """A W&B sweep: online its server chooses, through W&B's agent; offline it is chosen here."""

    api_version = 1
    capabilities = OFFLINE
    Options = WandbOptions
    engine = ENGINE

    _chooser: Chooser
    _runs: runs.OfflineRuns | OnlineSweep | None = None
    _rule: Hyperband | OnlineSweep | None = None

    @classmethod
    def capabilities_for(cls, options: WandbOptions) -> Capabilities:
        """Return what a sweep can do where, and with the method that, these options say."""
        capabilities = ONLINE if mode_of(options) == "online" else OFFLINE
        return replace(capabilities, exhaustible=options.method == "grid")

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        self._sweep = sweep = Sweep.of(study, self.options)
        sweep.heed_cap(study)
        mode = mode_of(self.options)
        if mode == "online":
            from hpsearch_wandb.online import OnlineSweep

            online = OnlineSweep(study, sweep, self.options)
            self._chooser = self._runs = self._rule = online
        else:
            self._chooser = make_chooser(study, sweep)
            if sweep.early_terminate is not None:
                self._rule = Hyperband(sweep)
            self._runs = runs.OfflineRuns(study, sweep, self.options, mode)
        study.native = self._runs.sweep_id

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: Trial) -> Mapping[str, Any] | Exhausted:
        return self._chooser.suggest(trial)

    @hookimpl
    def hpsearch_start(self, study: Study, trial: Trial) -> None:
        self._sweep.heed_cap(study)
        if self._runs is not None:
            self._chooser.start(trial)
            self._runs.open(trial)

    @hookimpl
    def hpsearch_report(
        self, study: Study, trial: Trial, step: int, values: tuple[float, ...]
    ) -> bool:
        if trial.native is not None:
            runs.report(trial.native, self._sweep.report_name, step, values[0])
        return self._rule is not None and self._rule.stops(trial)

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: Trial) -> None:
        if self._runs is not None:
            self._chooser.tell(trial)
            self._runs.finish(trial)
            if self._rule is not None:
                self._rule.tell(trial)
        self._sweep.heed_target(study, trial)

    @hookimpl
    def hpsearch_close(self, study: Study, error: BaseException | None) -> None:
        if self._runs is not None:
            self._runs.close()
