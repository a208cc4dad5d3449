"""The options: what users of ``tune.run`` know, checked without importing Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Final

from hpsearch.errors import OptionError
from hpsearch.validators import check_options, flag, having, mapping, number, seconds, text, whole

INSTEAD: Final = {
    "config": "the space is search()'s second argument, and the Trainer's hp_space",
    "num_samples": "n_trials= says how many trials the search has",
    "metric": "the objective is reported as 'objective'",
    "mode": "direction= says whether to minimize or to maximize",
    "fail_fast": "max_failures=0 ends the search at the first failure",
    "raise_on_failed_trial": "max_failures=math.inf lets a search go on whatever fails",
    "local_dir": "storage_path= says where Ray keeps its files",
    "restore": "storage=PATH, resume=True continues a search",
    "resume_config": "storage=PATH, resume=True continues a search",
    "checkpoint_freq": "trial.report(value, step, checkpoint=FOLDER) hands in checkpoints",
    "checkpoint_at_end": "trial.report(value, step, checkpoint=FOLDER) hands in checkpoints",
}
"""What ``tune.run`` takes and a search says in another way."""


@dataclass(frozen=True, slots=True)
class RayOptions:
    """What goes to Ray Tune, by the names that ``tune.run`` has for it.

    Attributes:
        search_alg: A Ray search algorithm, such as ``OptunaSearch()``, or the name of one. None
            draws at random, and goes through grids in order.
        scheduler: A Ray trial scheduler, such as ``ASHAScheduler()``, or the name of one.
        resources_per_trial: Such as ``{"cpu": 2, "gpu": 0.5}``, or a placement group factory. None
            is one CPU, and one GPU where the cluster has any.
        address: The address of a cluster, or ``"auto"``. None takes the Ray that is running in
            this process, else starts one on this machine for the time of the search.
        storage_path: Where Ray keeps its files; a cluster needs a place that every node reaches.
            None is Ray's own default, ``~/ray_results``.
        storage_filesystem: A ``pyarrow.fs.FileSystem`` for it.
        sync_config: A ``tune.SyncConfig``.
        max_concurrent_trials: How many trials run at a time, as ``n_workers`` says it.
        time_budget_s: Seconds after which running trials are stopped, as pruned; ``timeout`` lets
            them go on to their end.
        stop: When a trial has done enough and is complete: a dict of results, a function, or a
            ``tune.Stopper``.
        failure_config: A ``tune.FailureConfig``: how often Ray starts a failed trial again, from
            its last checkpoint, before it counts as failed.
        checkpoint_config: A ``tune.CheckpointConfig``.
        keep_checkpoints_num: How many checkpoints of a trial to keep.
        checkpoint_score_attr: The result by which to keep them, ``"min-..."`` for the smallest.
        callbacks: ``tune.Callback`` objects.
        progress_reporter: A ``tune.ProgressReporter``.
        verbose: 0 to 3: how much Ray prints. Above 0 it also shows what the trials print.
        log_to_file: Keep what trials print in files of theirs.
        reuse_actors: Run one trial after the other in the same worker process.
        trial_name_creator: A function that names a trial.
        trial_dirname_creator: A function that names its folder.
    """

    search_alg: Any = None
    scheduler: Any = None
    resources_per_trial: Any = None
    address: str | None = field(default=None, repr=False)
    storage_path: str | PathLike[str] | None = None
    storage_filesystem: Any = field(default=None, repr=False)
    sync_config: Any = None
    max_concurrent_trials: int | None = None
    time_budget_s: float | None = None
    stop: Any = None
    failure_config: Any = None
    checkpoint_config: Any = None
    keep_checkpoints_num: int | None = None
    checkpoint_score_attr: str | None = None
    callbacks: Any = ()
    progress_reporter: Any = None
    verbose: int = 0
    log_to_file: Any = False
    reuse_actors: bool = True
    trial_name_creator: Any = None
    trial_dirname_creator: Any = None

    def __post_init__(self) -> None:
        for name, attribute, example in _OBJECTS:
            by_name = name in ("search_alg", "scheduler") and isinstance(getattr(self, name), str)
            if not by_name:
                check_options(self, having, name, attribute=attribute, example=example)
        _check_resources(self.resources_per_trial)
        check_options(self, whole, "max_concurrent_trials", "keep_checkpoints_num", least=1)
        check_options(self, seconds, "time_budget_s")
        check_options(self, whole, "verbose", below=4)
        check_options(self, text, "address")
        check_options(self, flag, "reuse_actors")
        if getattr(self.failure_config, "fail_fast", False):
            raise OptionError(f"failure_config has fail_fast: {INSTEAD['fail_fast']}")
        if self.checkpoint_config is not None and (
            self.keep_checkpoints_num is not None or self.checkpoint_score_attr is not None
        ):
            raise OptionError(
                "checkpoint_config says what keep_checkpoints_num and checkpoint_score_attr say; "
                "give one or the other"
            )

    @property
    def pauses_trials(self) -> bool:
        """Whether the scheduler pauses trials and goes on with them from a checkpoint."""
        names = {cls.__name__ for cls in type(self.scheduler).__mro__}
        named = isinstance(self.scheduler, str) and self.scheduler in _PAUSING_NAMES
        return named or not names.isdisjoint(_PAUSING)

    @property
    def checkpoints(self) -> bool:
        """Whether trials go on from checkpoints, for any reason."""
        return (
            self.pauses_trials
            or self.checkpoint_config is not None
            or self.keep_checkpoints_num is not None
            or bool(getattr(self.failure_config, "max_failures", 0))
        )

    @property
    def learns_from_others(self) -> bool:
        """Whether the search algorithm learns from trials that it did not suggest."""
        given = self.search_alg
        if given is None or isinstance(given, str):
            return given is None or given.lower() in ("optuna", "hebo")
        while hasattr(given, "searcher"):
            given = given.searcher
        classes = type(given).__mro__
        return any("add_evaluated_point" in vars(c) and c.__name__ != "Searcher" for c in classes)


_OBJECTS: Final = (
    ("search_alg", "on_trial_complete", "OptunaSearch()"),
    ("scheduler", "choose_trial_to_run", "ASHAScheduler()"),
    ("failure_config", "max_failures", "FailureConfig()"),
    ("checkpoint_config", "num_to_keep", "CheckpointConfig()"),
)
"""Options that are Ray's own objects: what each has, and an example of it."""

_PAUSING: Final = {
    "PopulationBasedTraining",
    "PopulationBasedTrainingReplay",
    "HyperBandScheduler",
    "ResourceChangingScheduler",
}
_PAUSING_NAMES: Final = {"pbt", "pbt_replay", "pb2", "hyperband", "hb_bohb", "resource_changing"}


def _check_resources(given: Any) -> None:
    if given is None or hasattr(given, "required_resources"):
        return
    kind = "a dict such as {'cpu': 2, 'gpu': 0.5}"
    amounts = mapping("resources_per_trial", given or None, kind=kind, error=OptionError)
    for name, amount in amounts.items():
        number(f"resources_per_trial[{name!r}]", amount, least=0, error=OptionError)
