"""``hpsearch.search``: read the arguments, refuse what cannot work, then run the search."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Sequence
from dataclasses import fields
from os import PathLike
from typing import TYPE_CHECKING, Any

from hpsearch import validators
from hpsearch.errors import ArgumentError, BackendError, brief, described, listed
from hpsearch.execution.evaluate import Evaluate, Objective
from hpsearch.execution.executor import AnyExecutor, Executor, ExecutorSpec
from hpsearch.plugins import registry
from hpsearch.plugins.hooks import Hooks, Role
from hpsearch.session import session
from hpsearch.session.checks import (
    check_capabilities,
    read_capabilities,
    read_directions,
    read_metrics,
    read_thresholds,
)
from hpsearch.session.constant import ConstantObjective
from hpsearch.session.coordinator import Coordinator
from hpsearch.session.failures import FailurePolicy
from hpsearch.session.loop import AskTellLoop, DelegatedLoop
from hpsearch.space.dialects import Nested, read_source
from hpsearch.study.seeds import fresh_seed
from hpsearch.study.study import Study

if TYPE_CHECKING:
    from hpsearch.plugins.backend import Backend
    from hpsearch.plugins.registry import Plugin

logger = logging.getLogger("hpsearch")


def search(
    objective: Objective,
    space: Any = None,
    *,
    backend: str | None = None,
    direction: str | Sequence[str] | None = None,
    n_trials: int | None = 20,
    timeout: float | None = None,
    seed: int | None = None,
    executor: str | AnyExecutor = "inline",
    n_workers: int | None = None,
    pruner: Any = None,
    storage: Any = None,
    name: str | None = None,
    resume: bool = False,
    catch: type[BaseException] | Iterable[type[BaseException]] = (),
    max_failures: float | None = None,
    retries: int = 0,
    enqueue: Iterable[Any] = (),
    plugins: Iterable[object] = (),
    progress: bool | None = None,
    **backend_options: Any,
) -> Study:
    """Search for the parameters that make an objective best.

    Args:
        objective: Takes a :class:`~hpsearch.study.trial.Trial`, returns a finite number, or a
            sequence with one for each direction. It may be an object with a method
            ``prepare(study)``, which is called once before the first trial and may refuse it.
        space: A mapping of names to ``Float``, ``Int`` and ``Categorical``, a ``Space``, a
            function that calls ``trial.suggest_*``, a native space of an installed plugin, or None
            when the objective itself suggests.
        backend: The name of an installed backend. None takes the first installed of optuna, ray,
            wandb and sigopt, and names it in the log.
        direction: ``"minimize"`` or ``"maximize"``, or one for each objective value. None takes
            what a native space says of its metric (W&B's ``goal``, SigOpt's ``objective``), or
            else minimizes; a direction that contradicts such a space is refused.
        n_trials: The total number of trials, resumed ones included; None for no limit.
        timeout: Seconds after which no further trial starts; a running one goes on to its end.
        seed: Makes the search repeatable where the backend can. None draws one and records it.
        executor: Where trials run: ``"inline"`` (here), ``"process"`` (worker processes),
            ``"ray"`` (a Ray cluster), another installed executor, or an executor object.
        n_workers: How many trials run at a time; None for one, or for as many as Ray finds room
            for.
        pruner: ``"median"``, ``"asha"``, or a pruner object; a backend's own kind of pruner is
            handed to it. None leaves pruning to the backend.
        storage: The path of a journal (SQLite); a backend's own kind of storage, such as an object
            or a URL, is handed to it. None keeps the history in memory.
        name: The study's name in the journal; ``"study"`` if None.
        resume: Continue the study of that name in the journal to the total of ``n_trials``; start
            it where there is none.
        catch: Exception types that never end the search.
        max_failures: Failures in a row that are survived; see ``docs/failures.md``.
        retries: How often a failed trial is run again before it counts.
        enqueue: What to try first: for each trial a mapping of names to values, an earlier trial,
            or a best run.
        plugins: Observers: objects with methods marked ``@hookimpl``.
        progress: Show a progress bar. None does where there is a terminal or a notebook, and
            elsewhere says one line for each trial: to the log where logging is set up, else to
            standard error. A summary comes last. False shows nothing.
        **backend_options: The backend's own options and the executor's; an unknown one is an
            error.

    Returns:
        The study with every trial.

    Raises:
        ArgumentError: An argument has a value that it cannot have.
        SpaceError: The space, or an enqueued trial, is not valid.
        CapabilityError: The backend cannot do what is asked for.
        BackendError: The backend cannot be loaded, or broke its contract.
        SearchFailedError: The failure policy ended the search; it has the study.
        SearchInterrupted: Ctrl-C; it has the study.
    """
    plugin = registry.find(backend)
    cls = plugin.load()
    if backend is None:
        logger.warning("no backend was named; using %s", plugin)
    if not callable(objective):
        raise ArgumentError(f"objective is {brief(objective)}, expected a function of the trial")
    n_trials = validators.optional_whole("n_trials", n_trials, 1, below=2**63)
    n_workers = validators.optional_whole("n_workers", n_workers, 1, below=2**31)
    seed = validators.optional_whole("seed", seed, 0, below=2**32)
    timeout = validators.seconds("timeout", timeout)
    retries = validators.whole("retries", retries, below=2**63)
    resume = validators.flag("resume", resume)
    progress = None if progress is None else validators.flag("progress", progress)
    name = "study" if name is None else validators.text("name", name)
    enqueued, observers = validators.items("enqueue", enqueue), validators.items("plugins", plugins)
    pruner, backend_options = _read_pruner(pruner, plugin, cls, backend_options)
    storage, backend_options = _read_storage(storage, plugin, cls, backend_options)
    if resume and storage is None:
        raise ArgumentError(
            "resume=True needs storage=PATH, the journal to continue from; a backend's own storage "
            "is continued by the backend's own options"
        )
    spec = ExecutorSpec.of(executor)
    executor_options, backend_options = spec.split(backend_options)
    names = (*SEARCH_ARGUMENTS, *spec.options)
    options = registry.read_options(
        plugin, cls, backend_options, names, spec.elsewhere, instead=cls.instead
    )
    capabilities = read_capabilities(plugin, cls, options)
    registry.check_implemented(str(plugin), cls, capabilities)
    source = read_source(space, define_by_run=capabilities.define_by_run)
    left_out = source.left_out(capabilities.dialect)
    if left_out:
        logger.warning("the space also has %s, which %s ignores", listed(left_out), plugin)
    directions = read_directions(direction, source)
    study = Study(
        name,
        directions,
        n_trials=n_trials,
        timeout=timeout,
        seed=fresh_seed() if seed is None else seed,
        space=source.space,
        parameter_names=source.names,
        backend=plugin.name,
        options=options,
        capabilities=capabilities,
        metrics=read_metrics(plugin, cls, options, source),
        native_space=source.native_for(capabilities.dialect),
        thresholds=read_thresholds(plugin, cls, options, source, directions, objective=objective),
        n_workers=n_workers,
        pruner=pruner,
    )
    check_capabilities(plugin, study, retries, executor)
    loop = _make_loop(spec, plugin, study, executor_options)
    hooks = Hooks()
    derives = source.function is not None and not isinstance(source.function, Nested)
    coordinator = Coordinator(
        study,
        hooks,
        FailurePolicy(catch, max_failures),
        str(plugin),
        retries=retries,
        derives=derives,
    )
    if storage is not None:
        from hpsearch.storage.journal import Journal

        journal = Journal(storage, coordinator, resume=resume, seed_given=seed is not None)
        hooks.register(journal, Role.JOURNAL, f"journal {storage}")
    hooks.register(_construct(plugin, cls, study.options), Role.BACKEND, str(plugin))
    if pruner is not None:
        hooks.register(pruner, Role.PRUNER, f"pruner {type(pruner).__name__}")
    _register_observers(hooks, observers, progress)
    hooks.register(loop, Role.CORE, spec.label)
    evaluate = Evaluate(objective, source.function, len(directions))
    session.run(coordinator, hooks, plugin, evaluate, enqueued)
    return study


def _read_pruner(
    pruner: Any, plugin: Plugin, cls: type[Backend], options: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return the core's pruner or None, and the backend's options with a pruner of its own."""
    if pruner is None:
        return None, options
    from hpsearch.pruners import Pruner, make_pruner

    if isinstance(pruner, str | Pruner):
        return make_pruner(pruner), options
    if "pruner" in {field.name for field in fields(cls.Options)}:
        return None, {**options, "pruner": pruner}
    raise ArgumentError(
        f"pruner is {pruner!r}, expected 'median', 'asha' or an hpsearch pruner with {plugin}"
    )


def _read_storage(
    storage: Any, plugin: Plugin, cls: type[Backend], options: dict[str, Any]
) -> tuple[str | PathLike[str] | None, dict[str, Any]]:
    """Return the journal's path or None, and the backend's options with a storage of its own."""
    is_url = isinstance(storage, str) and "://" in storage
    if (
        storage is None
        or isinstance(storage, PathLike)
        or (isinstance(storage, str) and not is_url)
    ):
        return storage, options
    if "storage" in {field.name for field in fields(cls.Options)}:
        return None, {**options, "storage": storage}
    # What is not shown here is a URL that may hold a password.
    given = "a URL" if is_url else f"of type {type(storage).__name__}"
    raise ArgumentError(f"storage is {given}, expected the path of a journal with {plugin}")


def _make_loop(
    spec: ExecutorSpec, plugin: Plugin, study: Study, options: dict[str, Any]
) -> AskTellLoop | DelegatedLoop:
    """Return the loop that runs the trials where the executor says."""
    owned, most = study.capabilities.owns_loop, study.capabilities.max_parallel
    runner = spec.make(None if owned else study.n_workers, options)
    if most is not None and (runner.n_workers is None or runner.n_workers > most):
        workers = "" if runner.n_workers is None else f"{runner.n_workers} "
        logger.warning(
            "%s suggests for %d trial(s) at a time, so no more of the %sworkers are used",
            *(plugin, most, workers),
        )
    if isinstance(runner, Executor):
        return AskTellLoop(runner, most)
    return DelegatedLoop(runner, spec.label)


def _construct(plugin: Plugin, cls: type[Backend], options: Any) -> Backend:
    try:
        return cls(options)
    except (Exception, SystemExit) as error:
        raise BackendError(f"{plugin} failed to start: {described(error)}") from error


def _register_observers(hooks: Hooks, observers: Iterable[object], progress: bool | None) -> None:
    for observer in observers:
        hooks.register(observer, Role.OBSERVER, f"observer {type(observer).__name__}")
    hooks.register(ConstantObjective(), Role.OBSERVER, "watch for a constant objective")
    if progress is False:
        return
    from hpsearch.report.progress import ProgressBar, ProgressLines, wanted

    if progress or wanted():
        hooks.register(ProgressBar(), Role.OBSERVER, "progress bar")
    else:
        hooks.register(ProgressLines(), Role.OBSERVER, "progress lines")


SEARCH_ARGUMENTS = tuple(
    name for name in inspect.signature(search).parameters if name != "backend_options"
)
"""The names that ``search`` itself takes."""
