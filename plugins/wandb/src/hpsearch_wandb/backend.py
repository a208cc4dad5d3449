"""The backend: a W&B sweep, of a server or of this process, with a W&B run for each trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.plugins.backend import EXHAUSTED, USUAL, Backend, Capabilities, Exhausted
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch_wandb import runs
from hpsearch_wandb.choosing import make_chooser
from hpsearch_wandb.engine import ENGINE, Hyperband
from hpsearch_wandb.options import WandbOptions, mode_of
from hpsearch_wandb.runs import OfflineRuns
from hpsearch_wandb.sweep import Sweep

if TYPE_CHECKING:
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_wandb.choosing import Chooser, Stopper
    from hpsearch_wandb.runs import Runs

OFFLINE = replace(USUAL, multi_objective=False, pruning=True, dialect="wandb")
ONLINE = replace(OFFLINE, max_parallel=1, seeding=False)


class WandbBackend(Backend):
    """A W&B sweep. Online its server chooses, stops and keeps the runs; offline it is done here."""

    api_version = 1
    capabilities = OFFLINE
    Options = WandbOptions
    engine = ENGINE

    _chooser: Chooser
    _stopper: Stopper | None = None
    _runs: Runs | None = None

    @classmethod
    def capabilities_for(cls, options: WandbOptions) -> Capabilities:
        """Return what a sweep can do where, and with the method that, these options say."""
        capabilities = ONLINE if mode_of(options) == "online" else OFFLINE
        return replace(capabilities, exhaustible=options.method == "grid")

    @classmethod
    def metrics_for(cls, options: WandbOptions) -> tuple[str, ...] | None:
        """Return the metric that the options name."""
        return None if options.metric is None else (options.metric,)

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        self._sweep = sweep = Sweep.of(study, self.options)
        mode = mode_of(self.options)
        if mode == "online":
            from hpsearch_wandb.online import OnlineSweep

            self._chooser = self._stopper = self._runs = OnlineSweep(study, sweep, self.options)
        else:
            self._chooser = make_chooser(study, sweep)
            self._stopper = Hyperband(sweep) if sweep.early_terminate is not None else None
            self._runs = OfflineRuns(study, sweep, self.options, mode)
        study.native = self._runs.sweep_id
        sweep.obey_cap(study)

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        answer = self._chooser.suggest(trial)
        if answer is EXHAUSTED:
            study.history.request_stop("the W&B sweep has nothing left to run")
        return answer

    @hookimpl
    def hpsearch_start(self, study: Study, trial: TrialRecord) -> None:
        assert self._runs is not None
        self._chooser.start(trial)
        self._runs.open(trial)
        self._sweep.obey_cap(study)

    @hookimpl
    def hpsearch_report(self, trial: TrialRecord, step: int, values: tuple[float, ...]) -> bool:
        runs.report(trial.native, self._sweep.report_name, step, values[0])
        return self._stopper is not None and self._stopper.stops(trial)

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        assert self._runs is not None
        self._chooser.tell(trial)
        if self._stopper is not None:
            self._stopper.tell(trial)
        self._runs.finish(trial)
        self._sweep.stop_at_target(study, trial)

    @hookimpl
    def hpsearch_close(self) -> None:
        if self._runs is not None:
            self._runs.close()
