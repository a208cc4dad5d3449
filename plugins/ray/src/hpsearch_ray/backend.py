"""The backend: Tune owns the loop, and the history hears of everything in it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import travel
from hpsearch.backend import Backend, Capabilities
from hpsearch.errors import BackendError, OptionError
from hpsearch.hookspecs import hookimpl
from hpsearch_ray.options import RayOptions

if TYPE_CHECKING:
    from hpsearch.backend import Exhausted
    from hpsearch.evaluate import Evaluate
    from hpsearch.study import Study
    from hpsearch.trial import Trial
    from hpsearch_ray.driver import Driver
    from hpsearch_ray.proposals import Proposals


class RayBackend(Backend):
    """Ray Tune's search algorithms and schedulers, and its workers."""

    api_version = 1
    capabilities = Capabilities(
        log=True,
        step=True,
        conditions=True,
        multi_objective=True,
        max_parallel=None,
        replay=True,
        seeding=True,
        owns_loop=True,
        dialect="ray",
    )
    Options = RayOptions

    _proposals: Proposals

    def __init__(self, options: RayOptions) -> None:
        super().__init__(options)
        self._closing = ExitStack()
        self._running = False
        self._most: int | None = None

    @classmethod
    def capabilities_for(cls, options: RayOptions) -> Capabilities:
        """Return what Ray can do with this search algorithm and this scheduler."""
        alone = options.search_alg is None
        return replace(
            cls.capabilities,
            checkpoints=options.checkpoints,
            multi_objective=alone and options.scheduler is None,
            pruning=options.scheduler is not None,
            replay=alone or _takes_other_trials(options.search_alg),
            seeding=alone,
        )

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        from hpsearch_ray.engine import make_scheduler, make_suggestions
        from hpsearch_ray.proposals import Draws

        self._most = _limit(study, self.options)
        self._prefix = secrets.token_hex(3)[:5]
        self._scheduler = make_scheduler(self.options.scheduler, study)
        if self.options.search_alg is None:
            self._proposals = Draws(study)
            return
        if hasattr(self._scheduler, "_hyperparam_mutations"):
            raise OptionError(
                f"scheduler {type(self._scheduler).__name__} changes parameters itself, and Ray "
                "gives it no search_alg; leave one of them out"
            )
        self._proposals, most = make_suggestions(self.options.search_alg, study, self._prefix)
        self._most = min(filter(None, (self._most, most)), default=None)

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        import ray

        from hpsearch_ray.cluster import connected
        from hpsearch_ray.driver import Driver

        packed = travel.pack(evaluate, ray.cloudpickle.dumps)
        driver = Driver(study, self._scheduler, self._prefix)
        self._running = True
        with connected(self.options):
            self._tune(study, driver, packed)
        if driver.interrupted:
            raise KeyboardInterrupt
        if driver.error is not None:
            raise driver.error
        driver.end()
        return True

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: Trial) -> Mapping[str, Any] | Exhausted:
        return self._proposals.next(study, trial)

    @hookimpl
    def hpsearch_tell(self, trial: Trial) -> None:
        if not self._running or trial.fixed:
            self._proposals.replay(trial)

    @hookimpl
    def hpsearch_close(self) -> None:
        self._closing.close()

    def _tune(self, study: Study, driver: Driver, packed: bytes) -> None:
        from ray import tune
        from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback
        from ray.tune.result_grid import ResultGrid

        from hpsearch_ray.cluster import interruptible, tune_settings
        from hpsearch_ray.hooks import Reports, Trials, read_criterion
        from hpsearch_ray.metrics import metric_names, mode_of
        from hpsearch_ray.parcel import sent
        from hpsearch_ray.proposals import Suggestions
        from hpsearch_ray.resources import Room, resources_of_a_trial
        from hpsearch_ray.search import Search
        from hpsearch_ray.trainable import Work

        options = self.options
        resources = resources_of_a_trial(options.resources_per_trial)
        changes = hasattr(self._scheduler, "_hyperparam_mutations")
        asked = self._proposals if isinstance(self._proposals, Suggestions) else None
        assert study.space is not None
        parcel = f"hpsearch-{secrets.token_hex(8)}"
        work = Work(parcel, study.space, len(study.directions), study.seed, str(Path.cwd()))
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", study.name)
        loggers = [CSVLoggerCallback(), JsonLoggerCallback()]
        try:
            with (
                sent(packed, parcel),
                tune_settings(options),
                interruptible(driver.interrupt),
            ):
                analysis = tune.run(
                    work.as_trainable(name),
                    name=f"{name}_{time.strftime('%Y-%m-%d_%H-%M-%S')}_{self._prefix}",
                    search_alg=Search(driver, Room(resources, self._most, changes), asked),
                    scheduler=self._scheduler,
                    stop=Reports(driver, read_criterion(options.stop)),
                    callbacks=[Trials(driver), *options.callbacks, *loggers],
                    resources_per_trial=resources,
                    num_samples=study.n_trials or -1,
                    raise_on_failed_trial=False,
                    **_arguments(options),
                )
        except tune.TuneError as error:
            if driver.error is None:
                reason = str(error).strip().splitlines()[-1]
                raise BackendError(f"Ray Tune failed: {reason}") from error
            return
        finally:
            for logger in loggers:
                for tune_trial in driver.live.values():
                    logger.log_trial_end(tune_trial)  # Tune forgets it when it stops at once.
        analysis.default_metric = metric_names(len(study.directions))[0]
        analysis.default_mode = mode_of(study.directions[0])
        study.native = ResultGrid(analysis)


def _arguments(options: RayOptions) -> dict[str, Any]:
    """Return what goes to ``tune.run`` as the user gave it."""
    from ray import tune

    checkpoints = options.checkpoint_config
    if checkpoints is None:
        attribute = options.checkpoint_score_attr
        smallest = attribute is not None and attribute.startswith("min-")
        checkpoints = tune.CheckpointConfig(
            num_to_keep=options.keep_checkpoints_num,
            checkpoint_score_attribute=attribute[4:] if attribute and smallest else attribute,
            checkpoint_score_order="min" if smallest else "max",
        )
    path = options.storage_path
    return {
        "storage_path": None if path is None else _absolute(path),
        "storage_filesystem": options.storage_filesystem,
        "sync_config": options.sync_config,
        "time_budget_s": options.time_budget_s,
        "max_failures": getattr(options.failure_config, "max_failures", 0),
        "checkpoint_config": checkpoints,
        "progress_reporter": options.progress_reporter,
        "verbose": options.verbose,
        "log_to_file": options.log_to_file,
        "reuse_actors": options.reuse_actors,
        "trial_name_creator": options.trial_name_creator,
        "trial_dirname_creator": options.trial_dirname_creator,
    }


def _absolute(path: Any) -> str:
    text = str(path)
    return text if "://" in text else str(Path(text).expanduser().absolute())


def _limit(study: Study, options: RayOptions) -> int | None:
    """Return how many trials the user lets run at a time."""
    given = {study.n_workers, options.max_concurrent_trials} - {None}
    if len(given) > 1:
        raise OptionError(
            f"n_workers is {study.n_workers} and max_concurrent_trials "
            f"{options.max_concurrent_trials}, which say the same; leave one out"
        )
    return next(iter(given), None)


def _takes_other_trials(search_alg: Any) -> bool:
    """Whether a search algorithm, an object or a name, learns from trials it did not suggest."""
    if isinstance(search_alg, str):
        return search_alg.lower() in ("optuna", "hebo")
    while hasattr(search_alg, "searcher"):
        search_alg = search_alg.searcher
    classes = type(search_alg).__mro__
    return any("add_evaluated_point" in vars(cls) and cls.__name__ != "Searcher" for cls in classes)
