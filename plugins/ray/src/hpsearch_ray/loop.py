"""One search as one run of Ray Tune."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback
from ray.tune.result_grid import ResultGrid

from hpsearch.errors import BackendError
from hpsearch.execution.pickling import dump_evaluation
from hpsearch_ray.broker import serving
from hpsearch_ray.cluster import connected, interruptible, tune_settings
from hpsearch_ray.driver import Driver
from hpsearch_ray.group import Group
from hpsearch_ray.hooks import Reports, Trials, read_criterion
from hpsearch_ray.metrics import metric_names, mode_of
from hpsearch_ray.object_ref import sent
from hpsearch_ray.resources import Capacity, resources_of_a_trial
from hpsearch_ray.search import Search
from hpsearch_ray.setup import changes_trials
from hpsearch_ray.trainable import Work

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.study.study import Study
    from hpsearch_ray.options import RayOptions
    from hpsearch_ray.setup import TuneSetup


def run(
    study: Study,
    evaluate: Evaluate,
    options: RayOptions,
    setup: TuneSetup,
    workers_per_trial: int = 1,
) -> None:
    """Run the study's trials on Ray until no more may start.

    Where Ray is the backend, ``study.native`` is then its result.

    Raises:
        ArgumentError: Something cannot be sent to the workers; it is named.
        OptionError: No node has what one trial needs, or the address is not the running Ray's.
        BackendError: Ray cannot be reached, or failed.
        KeyboardInterrupt: Ctrl-C ended the run, in order.
    """
    packed = dump_evaluation(evaluate, ray.cloudpickle.Pickler)
    driver = Driver(study, setup)
    with connected(options):
        try:
            _tune(driver, packed, options, setup, workers_per_trial)
        finally:
            driver.release()
    if driver.interrupted:
        raise KeyboardInterrupt
    if driver.error is not None:
        raise driver.error
    driver.end()


def _tune(
    driver: Driver, packed: bytes, options: RayOptions, setup: TuneSetup, workers_per_trial: int
) -> None:
    study = driver.study
    resources = resources_of_a_trial(options.resources_per_trial, workers_per_trial)
    capacity = Capacity(resources, setup.most, changes_trials(setup.scheduler))
    search = f"hpsearch-{secrets.token_hex(8)}"
    work = Work(search, driver.space, len(study.directions), study.seed, str(Path.cwd()))
    if workers_per_trial > 1:
        place = {name: _arguments(options)[name] for name in ("storage_path", "storage_filesystem")}
        group = Group(workers_per_trial, resources.bundles[0], str(Path.cwd()), **place)
        # Ray Train asks for the workers' resources, all at once. The trial itself only waits, and
        # Tune wants it to need something: a byte.
        work, resources = replace(work, group=group), tune.PlacementGroupFactory([{"memory": 1}])
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", study.name)
    loggers: list[Any] = [logger() for logger in _LOGGERS]
    try:
        with (
            sent(packed, search),
            _served(driver, search),
            tune_settings(options),
            interruptible(driver.interrupt),
        ):
            analysis = tune.run(
                work.as_trainable(name),
                name=f"{name}_{time.strftime('%Y-%m-%d_%H-%M-%S')}_{setup.prefix}",
                search_alg=Search(driver, capacity, setup.proposals),
                scheduler=setup.scheduler,
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
    if driver.space is not None:
        study.native = ResultGrid(analysis)


def _served(driver: Driver, search: str) -> AbstractContextManager[None]:
    """Answer what trials ask. Those of Ray's own backend ask nothing."""
    if driver.space is not None:
        return nullcontext()
    return serving(search, driver.asked, driver.fail)


_LOGGERS: tuple[Any, ...] = (CSVLoggerCallback, JsonLoggerCallback)
"""What Tune would add of its own; ours are closed when Tune stops at once."""


def _arguments(options: RayOptions) -> dict[str, Any]:
    """Return what goes to ``tune.run`` as the user gave it."""
    checkpoints = options.checkpoint_config
    if checkpoints is None:
        attribute = options.checkpoint_score_attr or ""
        smallest = attribute.startswith("min-")
        checkpoints = tune.CheckpointConfig(
            num_to_keep=options.keep_checkpoints_num,
            checkpoint_score_attribute=attribute.removeprefix("min-") or None,
            checkpoint_score_order="min" if smallest else "max",
        )
    path = options.storage_path
    if path is not None and "://" not in str(path):
        path = str(Path(path).expanduser().absolute())
    return {
        "storage_path": path,
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
