"""``executor="ray"``: another backend's trials on a Ray cluster, through Ray Tune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

from hpsearch.errors import OptionError
from hpsearch.execution.executor import LoopExecutor
from hpsearch.validators import check_options, whole
from hpsearch_ray.options import RayOptions

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.study.study import Study


@dataclass(frozen=True, slots=True)
class RayExecutorOptions:
    """Those of :class:`~hpsearch_ray.options.RayOptions` that say where and how trials run.

    Attributes:
        resources_per_trial: Such as ``{"cpu": 2, "gpu": 0.5}``, or a placement group factory. None
            is one CPU, and one GPU where the cluster has any.
        workers_per_trial: Run each trial in so many workers together, connected by
            ``torch.distributed``; ``resources_per_trial`` is then what each of them needs.
        address: The address of a cluster, or ``"auto"``. None takes the Ray that is running in
            this process, else starts one on this machine for the time of the search.
        storage_path: Where Ray keeps its files; None is Ray's own default, ``~/ray_results``.
        storage_filesystem: A ``pyarrow.fs.FileSystem`` for it.
        callbacks: ``tune.Callback`` objects.
        verbose: 0 to 3: how much Ray prints. Above 0 it also shows what the trials print.
        log_to_file: Keep what trials print in files of theirs.
        reuse_actors: Run one trial after the other in the same worker process.

    Raises:
        OptionError: One has a value that it cannot have.
    """

    resources_per_trial: Any = None
    workers_per_trial: int = 1
    address: str | None = field(default=None, repr=False)
    storage_path: str | PathLike[str] | None = None
    storage_filesystem: Any = field(default=None, repr=False)
    callbacks: Any = ()
    verbose: int = 0
    log_to_file: Any = False
    reuse_actors: bool = True

    def __post_init__(self) -> None:
        self.as_backend()
        check_options(self, whole, "workers_per_trial", least=1)
        resources = self.resources_per_trial
        if self.workers_per_trial == 1:
            return
        if find_spec("torch") is None:
            raise OptionError("workers_per_trial needs torch, which is not installed")
        if not (resources is None or isinstance(resources, Mapping)):
            raise OptionError(
                f"resources_per_trial is {resources!r}, and with workers_per_trial a dict is "
                "expected: what each worker needs"
            )

    def as_backend(self) -> RayOptions:
        """Return those that the backend has as well, which checks them."""
        names = {item.name for item in fields(self)} - {"workers_per_trial"}
        return RayOptions(**{name: getattr(self, name) for name in names})


class RayExecutor(LoopExecutor):
    """Runs each trial in a worker of a Ray cluster; the study's own backend suggests them.

    Args:
        n_workers: How many trials run at a time, None for as many as there is room for.
        options: See :class:`RayExecutorOptions`.
    """

    Options: ClassVar[type[Any]] = RayExecutorOptions

    def __init__(self, n_workers: int | None, options: RayExecutorOptions) -> None:
        self.n_workers = n_workers
        self._options = options.as_backend()
        self._workers_per_trial = options.workers_per_trial

    def run(self, study: Study, evaluate: Evaluate) -> None:
        """Run the study's trials on Ray until no more may start.

        Raises:
            ArgumentError: Something cannot travel to the workers; it is named.
            OptionError: No node has what one trial needs, or the address is not the running Ray's.
            BackendError: Ray cannot be reached, or failed.
            KeyboardInterrupt: Ctrl-C ended the run, in order.
        """
        from hpsearch_ray import loop
        from hpsearch_ray.setup import TuneSetup

        setup = TuneSetup.of_another(study, self.n_workers)
        loop.run(study, evaluate, self._options, setup, self._workers_per_trial)
