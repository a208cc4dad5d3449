"""``hpsearch.search``: check everything, open the plugins, run, close."""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from os import PathLike
from typing import Any

from hpsearch import registry
from hpsearch.backend import Backend, Capabilities
from hpsearch.dialects import read_source
from hpsearch.distributions import Float, Int
from hpsearch.errors import (
    ArgumentError,
    BackendError,
    CapabilityError,
    SearchFailedError,
    SearchInterrupted,
    nearest,
)
from hpsearch.evaluate import Evaluate, Objective
from hpsearch.executors import Executor, make_executor
from hpsearch.failures import FailurePolicy
from hpsearch.history import History
from hpsearch.hooks import Hooks, Member, Role
from hpsearch.loop import AskTellLoop
from hpsearch.registry import Plugin
from hpsearch.seeds import fresh_seed
from hpsearch.study import BestRun, Study

logger = logging.getLogger("hpsearch")


def search(
    objective: Objective,
    space: Any = None,
    *,
    backend: str | None = None,
    direction: str | Sequence[str] = "minimize",
    n_trials: int | None = 20,
    timeout: float | None = None,
    seed: int | None = None,
    executor: str | Executor = "inline",
    n_workers: int = 1,
    pruner: Any = None,
    storage: str | PathLike[str] | None = None,
    name: str | None = None,
    resume: bool = False,
    catch: type[BaseException] | Iterable[type[BaseException]] = (),
    max_failures: float | None = None,
    retries: int = 0,
    enqueue: Iterable[Mapping[str, Any]] = (),
    plugins: Iterable[object] = (),
    progress: bool | None = None,
    **backend_options: Any,
) -> Study:
    """Search for the parameters that make an objective best.

    Args:
        objective: Takes a :class:`~hpsearch.trial.Trial`, returns a finite number, or a sequence
            with one for each direction. It may be an object with a method ``prepare(study)``,
            which is called once before the first trial and may raise to refuse the search.
        space: A mapping of names to ``Float``, ``Int`` and ``Categorical``, a ``Space``, a
            function that calls ``trial.suggest_*``, a native space of an installed plugin, or None
            when the objective itself suggests.
        backend: The name of an installed backend. None takes the first installed of optuna, ray,
            wandb and sigopt, and names it in the log.
        direction: ``"minimize"`` or ``"maximize"``, or one for each objective value.
        n_trials: The total number of trials, resumed ones included; None for no limit.
        timeout: Seconds after which no further trial starts; a running one goes on to its end.
        seed: Makes the search repeatable where the backend can. None draws one and records it.
        executor: Where trials run: ``"inline"`` (here) or an executor object.
        n_workers: How many trials run at a time.
        pruner: ``"median"``, ``"asha"``, or a pruner object; a backend's own kind of pruner is
            handed to it. None leaves pruning to the backend.
        storage: The path of a journal (SQLite); None keeps the history in memory.
        name: The study's name in the journal; ``"study"`` if None.
        resume: Continue the study of that name in the journal to the total of ``n_trials``; start
            it where there is none.
        catch: Exception types that never end the search.
        max_failures: Failures in a row that are survived; see ``docs/failures.md``.
        retries: How often a failed trial is run again before it counts.
        enqueue: Parameters to try first, one mapping for each trial.
        plugins: Observers: objects with methods marked ``@hookimpl``.
        progress: Show a progress bar; None does where there is a terminal or a notebook.
        **backend_options: The backend's own options; an unknown one is an error.

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
    directions = read_directions(direction)
    _check_counts(n_trials, timeout, seed, retries)
    source = read_source(space, define_by_run=cls.capabilities.define_by_run)
    pruner, backend_options = _read_pruner(pruner, plugin, cls, backend_options)
    study = Study(
        name if name is not None else "study",
        directions,
        n_trials=n_trials,
        timeout=timeout,
        seed=fresh_seed() if seed is None else seed,
        space=source.space,
        parameter_names=source.names,
        backend=plugin.name,
        options=registry.read_options(plugin, cls, backend_options),
        pruner=pruner,
    )
    check_capabilities(plugin, cls.capabilities, study)
    place = make_executor(executor, n_workers)
    hooks = Hooks()
    history = History(study, hooks, FailurePolicy(catch, max_failures), str(plugin), retries)
    study._history = history
    if storage is not None:
        from hpsearch.journal import Journal

        journal = Journal(storage, resume=resume, seed_given=seed is not None)
        hooks.register(journal, Role.JOURNAL, f"journal {storage}")
    elif resume:
        raise ArgumentError("resume=True needs storage=, the journal to continue from")
    hooks.register(_construct(plugin, cls, study.options), Role.BACKEND, str(plugin))
    if pruner is not None:
        hooks.register(pruner, Role.PRUNER, f"pruner {type(pruner).__name__}")
    for observer in plugins:
        hooks.register(observer, Role.OBSERVER, f"observer {type(observer).__name__}")
    _register_progress(hooks, progress)
    hooks.register(AskTellLoop(place, cls.capabilities.max_parallel), Role.CORE, "the core's loop")
    evaluate = Evaluate(objective, source.function, len(directions))
    _run(study, hooks, evaluate, plugin, cls.capabilities, list(enqueue))
    return study


def _run(
    study: Study,
    hooks: Hooks,
    evaluate: Evaluate,
    plugin: Plugin,
    capabilities: Capabilities,
    enqueue: list[Mapping[str, Any]],
) -> None:
    history = study.history
    with _opened(study, hooks):
        if (study.trials or enqueue) and not capabilities.replay:
            raise CapabilityError(
                f"{plugin} accepts no trials that it did not suggest (capability 'replay'), so "
                "resume= and enqueue= do not work with it"
            )
        history.replay()
        if not study.trials:
            for params in enqueue:
                history.enqueue(params)
        _check_total(study, len(enqueue))
        prepare: Callable[[Study], None] | None = getattr(evaluate.objective, "prepare", None)
        if prepare is not None:
            prepare(study)
        logger.info("study %r: %s, %s", study.name, plugin, "/".join(study.directions))
        try:
            hooks.first("hpsearch_run", study=study, evaluate=evaluate)
        except BaseException as error:
            history.interrupt(error)
            if isinstance(error, KeyboardInterrupt):
                raise SearchInterrupted(_interrupted(study), study) from error
            raise
        if history.failure is not None:
            raise SearchFailedError(history.failure, study) from history.failure_cause
        study._best = _best(study, hooks, plugin)


@contextlib.contextmanager
def _opened(study: Study, hooks: Hooks) -> Iterator[None]:
    """Open every plugin in order; close those that were opened, last first, whatever happens."""
    opened: list[Member] = []
    failure: BaseException | None = None
    try:
        for member in hooks.members():
            opened.append(member)
            hooks.call_one(member, "hpsearch_open", study=study)
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        _close(study, hooks, opened, failure)


def _close(
    study: Study, hooks: Hooks, opened: list[Member], failure: BaseException | None
) -> None:
    problems: list[Exception] = []
    for member in reversed(opened):
        try:
            hooks.call_one(member, "hpsearch_close", study=study, error=failure)
        except Exception as error:
            # The others still close; what ended the search outranks what closing it met.
            problems.append(error)
    study._history = None
    for problem in problems:
        if failure is None:
            raise problem
        logger.error("while closing after an error: %s", problem)


def read_directions(direction: str | Sequence[str]) -> tuple[str, ...]:
    """Return the directions as a tuple.

    Raises:
        ArgumentError: One is neither ``"minimize"`` nor ``"maximize"``, or there are none.
    """
    directions = (direction,) if isinstance(direction, str) else tuple(direction)
    known = ("minimize", "maximize")
    for item in directions:
        if item not in known:
            raise ArgumentError(
                f"direction {item!r} is unknown.{nearest(str(item), known)} "
                "Expected 'minimize' or 'maximize', or a list of them"
            )
    if not directions:
        raise ArgumentError("direction is empty, expected at least one")
    return directions


def check_capabilities(plugin: Plugin, capabilities: Capabilities, study: Study) -> None:
    """Raise :class:`CapabilityError` if the study needs what the backend does not declare."""
    if len(study.directions) > 1 and not capabilities.multi_objective:
        raise CapabilityError(
            f"{plugin} takes one direction, and {len(study.directions)} are given; backends "
            "'optuna', 'random' and 'grid' take several"
        )
    if len(study.directions) > 1 and study.pruner is not None:
        raise ArgumentError("a pruner compares one value, and the study has several directions")
    if study.pruner is not None and capabilities.owns_loop:
        raise CapabilityError(f"{plugin} runs the trials itself and takes none of the core's pruners")
    if study.space is None:
        if not capabilities.define_by_run:
            raise CapabilityError(
                f"{plugin} needs the space before the first trial, and the trials of this search "
                "suggest while they run; give a space, or use backend 'optuna' or 'random'"
            )
        return
    for name, distribution in study.space.parameters.items():
        if isinstance(distribution, Float | Int):
            if distribution.log and not capabilities.log:
                raise CapabilityError(f"{plugin} has no log scale, which parameter {name!r} asks for")
            if distribution.step not in (None, 1) and not capabilities.step:
                raise CapabilityError(f"{plugin} has no steps, which parameter {name!r} asks for")
    for name in study.space.conditions:
        if not capabilities.conditions:
            raise CapabilityError(f"{plugin} has no conditions, and parameter {name!r} has one")


def _check_counts(
    n_trials: int | None, timeout: float | None, seed: int | None, retries: int
) -> None:
    for what, value, least in (("n_trials", n_trials, 1), ("seed", seed, 0), ("retries", retries, 0)):
        if value is None and what != "retries":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ArgumentError(f"{what} is {value!r}, expected a whole number of at least {least}")
    if seed is not None and seed >= 2**32:
        raise ArgumentError(f"seed is {seed}, expected a whole number below 2**32")
    if timeout is not None and (
        isinstance(timeout, bool)
        or not isinstance(timeout, int | float)
        or not math.isfinite(timeout)
        or timeout <= 0
    ):
        raise ArgumentError(f"timeout is {timeout!r}, expected seconds above 0")


def _check_total(study: Study, enqueued: int) -> None:
    remaining = study.history.remaining
    if remaining is not None and enqueued > remaining and not study.trials:
        raise ArgumentError(
            f"{enqueued} trials are enqueued and n_trials is {study.n_trials}; raise n_trials"
        )


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


def _construct(plugin: Plugin, cls: type[Backend], options: Any) -> Backend:
    try:
        return cls(options)
    except Exception as error:
        raise BackendError(f"{plugin} failed to start: {type(error).__name__}: {error}") from error


def _register_progress(hooks: Hooks, progress: bool | None) -> None:
    if progress is False:
        return
    from hpsearch import progress as bars

    if progress or bars.wanted():
        hooks.register(bars.ProgressBar(), Role.OBSERVER, "progress bar")


def _best(study: Study, hooks: Hooks, plugin: Plugin) -> list[BestRun] | None:
    best: list[BestRun] | None = hooks.first("hpsearch_best", study=study)
    known = {trial.id for trial in study.trials}
    for run in best or ():
        if run.run_id not in known:
            raise BackendError(
                f"{plugin} names run {run.run_id!r} as best in hpsearch_best, and the history has "
                "no such trial"
            )
    return best


def _interrupted(study: Study) -> str:
    counts = study.counts()
    done = counts["complete"] + counts["pruned"]
    return f"interrupted with {done} trials complete or pruned; the error's study has them"


SEARCH_ARGUMENTS = tuple(
    name for name in inspect.signature(search).parameters if name != "backend_options"
)
"""The names that ``search`` itself takes."""
