"""What is refused: arguments before the first trial, and what a backend suggests in one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hpsearch import validators
from hpsearch.errors import (
    ArgumentError,
    BackendError,
    CapabilityError,
    HpsearchError,
    SpaceError,
    brief,
    described,
    nearest,
)
from hpsearch.execution.executor import Executor, LoopExecutor
from hpsearch.space.distributions import Float, Int, Native
from hpsearch.space.distributions import plain as scalar
from hpsearch.space.thresholds import Threshold, bare_name, check_thresholds
from hpsearch.study.best import DIRECTIONS
from hpsearch.study.capabilities import Capabilities
from hpsearch.study.record import TrialRecord
from hpsearch.study.serial import plain
from hpsearch.study.study import BestRun
from hpsearch.study.trial import Trial

if TYPE_CHECKING:
    from hpsearch.plugins.backend import Backend
    from hpsearch.plugins.registry import Plugin
    from hpsearch.space.dialects import SpaceSource
    from hpsearch.space.distributions import Distribution
    from hpsearch.space.space import Space
    from hpsearch.study.study import Study


logger = logging.getLogger("hpsearch")


def read_directions(direction: str | Sequence[str] | None, source: SpaceSource) -> tuple[str, ...]:
    """Return the directions as a tuple.

    Args:
        direction: What the user gave, None for nothing.
        source: The space, which may state the goals of its metrics.

    Raises:
        ArgumentError: One is neither ``"minimize"`` nor ``"maximize"``, there are none, or the
            space states others.
    """
    goals = source.goals
    stated = None if goals is None else _read_directions("the goal of the space", goals)
    if direction is None:
        return stated or ("minimize",)
    directions = _read_directions("direction", direction)
    if stated is not None and stated != directions:
        both = f"direction is {'/'.join(directions)}, and the space says {'/'.join(stated)}"
        if not source.overruled:
            raise ArgumentError(f"{both} of its metric; change one of them, or leave direction out")
        logger.warning("%s of its metric; the direction counts", both)
    return directions


def _read_directions(what: str, given: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(given, Sequence):
        raise ArgumentError(
            f"{what} is {given!r}, expected 'minimize' or 'maximize', or a list of them"
        )
    directions = (given,) if isinstance(given, str) else tuple(given)
    for item in directions:
        if item not in DIRECTIONS:
            raise ArgumentError(
                f"{what} {item!r} is unknown.{nearest(str(item), DIRECTIONS)} "
                "Expected 'minimize' or 'maximize', or a list of them"
            )
    if not directions:
        raise ArgumentError(f"{what} is empty, expected at least one")
    return directions


def read_thresholds(
    plugin: Plugin,
    cls: type[Backend],
    options: Any,
    source: SpaceSource,
    directions: Sequence[str],
    *,
    objective: object,
) -> tuple[Threshold, ...]:
    """Return the bounds on metrics that the backend's options state, or else the space does.

    An objective may have further ones, as its attribute ``thresholds``.

    Raises:
        ArgumentError: Two bounds are for one metric.
        OptionError: A bound does not have the engine's form, or does not fit the directions.
        BackendError: The backend cannot say.
    """
    stated = _stated(plugin, cls.thresholds_for, options, directions)
    speaker: object = plugin
    if stated is None:
        stated, speaker = source.thresholds(directions), f"the dialect of the space, for {plugin},"
    try:
        known = check_thresholds(stated, directions)
    except ValueError as error:
        raise BackendError(f"{speaker} states the thresholds {error}") from None
    further: tuple[Threshold, ...] = getattr(objective, "thresholds", ())
    stated_names = {bare_name(threshold.metric) for threshold in known}
    for threshold in further:
        if bare_name(threshold.metric) in stated_names:
            raise ArgumentError(
                f"metric {threshold.metric!r} has a threshold where the metrics are defined, and "
                f"has to be {threshold} by constraints=; leave out one of the two"
            )
    return (*known, *further)


def read_capabilities(plugin: Plugin, cls: type[Backend], options: Any) -> Capabilities:
    """Return what a backend can do with these options.

    Raises:
        BackendError: It cannot say, or says something else.
    """
    capabilities = _stated(plugin, cls.capabilities_for, options)
    if not isinstance(capabilities, Capabilities):
        raise BackendError(
            f"{plugin} answered {brief(capabilities)} in capabilities_for, expected Capabilities"
        )
    return capabilities


def read_metrics(
    plugin: Plugin, cls: type[Backend], options: Any, source: SpaceSource
) -> tuple[str, ...] | None:
    """Return the metrics that the backend's options name, or else the space does; None for none.

    Raises:
        BackendError: The backend cannot say, or what is said is not names.
    """
    stated = _stated(plugin, cls.metrics_for, options)
    speaker: object = plugin
    if stated is None:
        stated, speaker = source.metrics, f"the dialect of the space, for {plugin},"
    if stated is None:
        return None
    if isinstance(stated, list | tuple) and all(isinstance(name, str) and name for name in stated):
        return tuple(stated)
    raise BackendError(f"{speaker} names the metrics {stated!r}, expected a list of texts or None")


def _stated(plugin: Plugin, method: Callable[..., Any], *given: Any) -> Any:
    """Return what a backend's class answers; a mistake of its own is an error that names it."""
    try:
        return method(*given)
    except HpsearchError:
        raise
    except (Exception, SystemExit) as error:
        raise BackendError(f"{plugin} failed in {method.__name__}: {described(error)}") from error


def check_capabilities(plugin: Plugin, study: Study, retries: int, executor: object) -> None:
    """Raise :class:`CapabilityError` if the study needs what the backend does not declare."""
    capabilities = study.capabilities
    if retries and not capabilities.replay:
        raise CapabilityError(
            f"{plugin} accepts no trials that it did not suggest (capability 'replay'), so "
            "retries= does not work with it"
        )
    if len(study.directions) > 1 and not capabilities.multi_objective:
        raise CapabilityError(
            f"{plugin} takes one direction, and {len(study.directions)} are given; backends "
            "'optuna', 'random' and 'grid' take several"
        )
    if len(study.directions) > 1 and study.pruner is not None:
        raise ArgumentError("a pruner compares one value, and the study has several directions")
    if executor != "inline" and capabilities.owns_loop:
        known = executor if isinstance(executor, Executor | LoopExecutor) else Executor
        raise CapabilityError(f"{plugin} runs the trials itself{known.no_loop_owner}")
    if study.space is None:
        if not capabilities.define_by_run:
            raise CapabilityError(
                f"{plugin} needs the space before the first trial, and the trials of this search "
                "suggest while they run; give a space, or use backend 'optuna' or 'random'"
            )
    else:
        _check_space(plugin, capabilities, study.space)


def _check_space(plugin: Plugin, capabilities: Capabilities, space: Space) -> None:
    for name, distribution in space.parameters.items():
        if isinstance(distribution, Native) and distribution.dialect != capabilities.dialect:
            raise CapabilityError(
                f"parameter {name!r} is {distribution}, which only backend "
                f"{distribution.dialect!r} can search, and not {plugin}"
            )
        if isinstance(distribution, Float | Int):
            if distribution.log and not capabilities.log:
                raise CapabilityError(
                    f"{plugin} has no log scale, which parameter {name!r} asks for"
                )
            no_step = 1 if isinstance(distribution, Int) else None
            if distribution.step != no_step and not capabilities.step:
                raise CapabilityError(f"{plugin} has no steps, which parameter {name!r} asks for")
    for name in space.conditions:
        if not capabilities.conditions:
            raise CapabilityError(f"{plugin} has no conditions, and parameter {name!r} has one")


def read_enqueued(given: object, space: Space | None, *, derives: bool) -> dict[str, Any]:
    """Return the parameters of an enqueued trial, which may be whatever a search gave back.

    Args:
        given: A mapping of names to values, in which groups of parameters may be nested; a trial;
            or a best run.
        space: The space, None for a define-by-run search.
        derives: Whether a function derives other values from the space's. What a search gives back
            has those too, and they are no parameters: the trial has to derive them again.

    Raises:
        SpaceError: They are not a point of the space.
        ArgumentError: They are not a mapping, or not JSON.
    """
    if isinstance(given, BestRun):
        given = given.trial
    if isinstance(given, Trial | TrialRecord):
        given = given.params
    params = {n: scalar(v) for n, v in validators.mapping("an enqueued trial", given).items()}
    if space is not None:
        params = space.flat(params)
        extra = {n: params.pop(n) for n in list(params) if derives and n not in space.parameters}
        try:
            return {**space.validate(params), **_json(extra)}
        except SpaceError:
            _check_spelling(extra, [name for name in space.parameters if name not in params])
            raise
    return _json(params)


def _check_spelling(extra: Iterable[str], missing: Sequence[str]) -> None:
    """Raise :class:`SpaceError` if a name that is no parameter may be meant for a missing one."""
    for name in extra:
        if meant := nearest(name, missing):
            raise SpaceError(f"parameter {name!r} is not in the space.{meant}")


def _json(params: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = plain("an enqueued trial is", params)
    return copied


def check_fixed(trial: TrialRecord, name: str, distribution: Distribution) -> None:
    """Raise :class:`SpaceError` if a value set beforehand is none of the distribution."""
    if name in trial.fixed:
        try:
            distribution.validate(trial.fixed[name])
        except SpaceError as error:
            raise SpaceError(f"parameter {name!r} is set beforehand: {error}") from None


def check_suggested(
    label: str, trial: TrialRecord, name: str, distribution: Distribution, value: object
) -> Any:
    """Return a backend's suggestion for one parameter as a plain value.

    Raises:
        BackendError: It is none of the distribution, or not the value that was set beforehand.
    """
    try:
        valid = distribution.validate(value)
    except SpaceError as error:
        raise BackendError(f"{label} suggested for parameter {name!r}: {error}") from None
    if name in trial.fixed and valid != distribution.validate(trial.fixed[name]):
        raise BackendError(
            f"{label} suggested {valid!r} for parameter {name!r}, which was set to "
            f"{trial.fixed[name]!r} beforehand"
        )
    return valid
