"""What a search is refused for before its first trial."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ArgumentError, BackendError, CapabilityError, SpaceError, nearest
from hpsearch.space.distributions import Float, Int, Native, plain
from hpsearch.study.trial import Trial

if TYPE_CHECKING:
    from hpsearch.plugins.backend import Capabilities
    from hpsearch.plugins.registry import Plugin
    from hpsearch.space.distributions import Distribution
    from hpsearch.space.space import Space
    from hpsearch.study.study import Study


def check_kinds(
    objective: object, flags: Mapping[str, object], lists: Mapping[str, object]
) -> None:
    """Raise :class:`ArgumentError` unless each argument of a search is of its kind.

    Args:
        objective: Must be callable.
        flags: By name, what must be True, False or None.
        lists: By name, what must be a list or the like.
    """
    if not callable(objective):
        raise ArgumentError(f"objective is {objective!r}, expected a function of the trial")
    for name, given in flags.items():
        if given is not None and not isinstance(given, bool):
            raise ArgumentError(f"{name} is {given!r}, expected True or False")
    for name, given in lists.items():
        if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
            raise ArgumentError(f"{name} is {given!r}, expected a list")


def read_directions(direction: str | Sequence[str]) -> tuple[str, ...]:
    """Return the directions as a tuple.

    Raises:
        ArgumentError: One is neither ``"minimize"`` nor ``"maximize"``, or there are none.
    """
    if not isinstance(direction, Iterable):
        raise ArgumentError(
            f"direction is {direction!r}, expected 'minimize' or 'maximize', or a list of them"
        )
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
        reason = getattr(executor, "no_loop_owner", " and takes no executor")
        raise CapabilityError(f"{plugin} runs the trials itself{reason}")
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


def check_counts(
    n_trials: int | None,
    timeout: float | None,
    seed: int | None,
    retries: int,
    n_workers: int | None,
) -> None:
    """Raise :class:`ArgumentError` if a number is not of its kind or range."""
    for what, value, least in (
        ("n_trials", n_trials, 1),
        ("seed", seed, 0),
        ("retries", retries, 0),
        ("n_workers", n_workers, 1),
    ):
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


def check_enqueued(params: object, space: Space | None) -> dict[str, Any]:
    """Return the parameters of an enqueued trial; those of an earlier trial may be given by it.

    Raises:
        SpaceError: They are not a point of the space.
        ArgumentError: They are no mapping, or no JSON.
    """
    given = params.params if isinstance(params, Trial) else params
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"an enqueued trial is {given!r}, expected a mapping of names to values"
        )
    if space is not None:
        return space.validate(given)
    known = {name: plain(value) for name, value in given.items()}
    check_json("an enqueued trial is", known)
    return known


def check_fixed(trial: Trial, name: str, distribution: Distribution) -> None:
    """Raise :class:`SpaceError` if a value set beforehand is none of the distribution."""
    if name in trial.fixed:
        try:
            distribution.validate(trial.fixed[name])
        except SpaceError as error:
            raise SpaceError(f"parameter {name!r} is set beforehand: {error}") from None


def check_suggested(
    label: str, trial: Trial, name: str, distribution: Distribution, value: object
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


def check_json(what: str, value: object) -> None:
    """Raise :class:`ArgumentError`, saying what it is, unless the value is JSON."""
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{what} {value!r}, expected JSON: {error}") from None
