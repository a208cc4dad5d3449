"""Online: the W&B server owns the sweep; its agent brings each trial's parameters and its run.

A trial that the server did not propose (enqueued, unfinished, retried) is a run of the same sweep,
opened here while no agent runs. Earlier trials that the sweep does not have are handed in as runs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from hpsearch.errors import BackendError
from hpsearch.plugins.backend import EXHAUSTED, Exhausted
from hpsearch.space.distributions import Categorical, Distribution, Int, Native
from hpsearch_wandb import runs, server
from hpsearch_wandb.agent import Job, SweepAgent
from hpsearch_wandb.choosing import Chooser
from hpsearch_wandb.definitions import quantized

if TYPE_CHECKING:
    import wandb

    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_wandb.options import WandbOptions
    from hpsearch_wandb.server import ServerSweep
    from hpsearch_wandb.sweep import Sweep

logger = logging.getLogger("hpsearch")


class OnlineSweep(Chooser):
    """A sweep on a W&B server, for one search: it chooses, stops, and has the runs.

    Args:
        study: The study; its earlier trials say which sweep they belong to.
        sweep: Its sweep config.
        options: Where the server is, and which sweep of it to continue.

    Raises:
        HpsearchError: Before the first trial, whatever can be known of the server by then.

    Attributes:
        sweep_id: The sweep's id on the server.
    """

    def __init__(self, study: Study, sweep: Sweep, options: WandbOptions) -> None:
        assert study.space is not None  # The core refuses a define-by-run search beforehand.
        self._study = study
        self._space = study.space
        self._space.check_exact("a W&B server")
        self._options = options
        self._config = sweep
        self._agent: SweepAgent | None = None
        self._job: Job | None = None
        self._run: wandb.Run | None = None
        with ExitStack() as opening:
            opening.enter_context(server.environment(options))
            self._sweep = self._find_or_create()
            self.sweep_id = self._sweep.id
            self._missing = self._sweep.missing(study)
            self._closing = opening.pop_all()
        if self._missing:
            logger.warning(
                "the W&B sweep %s gets a run for each of %d earlier trials",
                self._sweep.path,
                len(self._missing),
            )

    def suggest(self, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        """Return what the server proposes next; its run is then open."""
        if self._agent is None:
            self._agent = SweepAgent(self._sweep.id, self._sweep.entity, self._sweep.project)
        self._job = self._agent.next(self._study.history.may_start)
        if self._job is None:
            logger.info("the W&B sweep %s has nothing left to run", self._sweep.path)
            return EXHAUSTED
        trial.native = self._init()
        trial.id = trial.native.id
        return self._point(trial.native.config)

    def stops(self, trial: TrialRecord) -> bool:
        """Whether the server wants the running trial stopped."""
        return self._job is not None and self._job.stopped

    def open(self, trial: TrialRecord) -> None:
        """Open a run for a trial, unless the server proposed it."""
        if trial.native is None:
            trial.native = self._own_run(trial)
        fact = {**self._sweep.fact, "run": trial.native.id}
        self._study.history.annotate(trial, server.FACT, fact)

    def finish(self, trial: TrialRecord) -> None:
        """Finish the trial's run; make one for an earlier trial that the sweep does not have."""
        run = trial.native
        if run is None:
            if trial.number not in self._missing:
                return
            run = self._own_run(trial)
            for step, values in sorted(trial.intermediate.items()):
                runs.report(run, self._config.report_name, step, values[0])
        runs.finish(run, trial, self._config.metric)
        self._run = None

    def close(self) -> None:
        """Finish a run whose end nobody reported, and end the agent; restore W&B in any case."""
        self._closing.callback(self._stop_agent)
        if self._run is not None:
            self._closing.callback(runs.abandon, self._run)
        self._closing.close()

    def _find_or_create(self) -> ServerSweep:
        api = server.log_in(self._options)
        if self._options.sweep_id is not None:
            return server.find(api, self._options.sweep_id, self._config, self._space)
        earlier = server.earlier(self._study)
        if earlier is not None:
            try:
                return server.find(api, earlier, self._config, self._space)
            except BackendError as error:
                logger.warning("the study goes on in another W&B sweep: %s", error)
        return server.create(self._config, self._space)

    def _own_run(self, trial: TrialRecord) -> wandb.Run:
        """Open a run of the sweep that the server did not propose."""
        import wandb

        self._stop_agent()
        return self._init(
            project=self._sweep.project,
            entity=self._sweep.entity,
            config=runs.config_of(trial, self._study),
            settings=wandb.Settings(sweep_id=self._sweep.id),
        )

    def _init(self, **arguments: Any) -> wandb.Run:
        import wandb

        try:
            run = wandb.init(group=self._options.group, tags=list(self._options.tags), **arguments)
        except wandb.errors.Error as error:
            raise BackendError(f"W&B could not open a run: {error}") from error
        runs.prepare(run, self._config.report_name)
        self._run = run
        return run

    def _stop_agent(self) -> None:
        if self._agent is not None:
            self._agent.stop()
            self._agent = self._job = None

    def _point(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a run's config, and nothing else that it holds."""
        values: dict[str, Any] = {}
        for name, distribution in self._space.parameters.items():
            group, _, member = name.rpartition(".")
            path = [*group.split("."), member] if group in self._space.groups else [name]
            found: Any = config
            for part in path:
                if part not in found:
                    raise BackendError(f"the W&B sweep {self._sweep.path} proposes no {name!r}")
                found = found[part]
            values[name] = plain(found, distribution)
        return self._space.restrict(values)


def plain(value: Any, distribution: Distribution) -> Any:
    """Return a value from the server as one of the parameter's, if it is close to one.

    On its way as JSON a whole number may have lost its decimal point or gained one; on a log scale
    a bound may have been rounded.
    """
    support = distribution.support if isinstance(distribution, Native) else distribution
    if isinstance(support, Categorical):
        equal = (choice for choice in support.choices if choice == value)
        return next((choice for choice in equal if _is_flag(choice) == _is_flag(value)), value)
    if _is_flag(value) or not isinstance(value, int | float):
        return value
    if isinstance(support, Int):
        return int(value) if value == int(value) else value
    # As far as rounding goes; anything further out is for the space to refuse.
    slack = 1e-9 * max(abs(support.low), abs(support.high))
    bounded = support.nearest(value)
    if isinstance(distribution, Native) and "q" in distribution.definition:
        bounded = quantized(bounded, distribution.definition["q"])
        slack = 1e-9 * abs(bounded)
    return bounded if abs(bounded - value) <= slack else value


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)
