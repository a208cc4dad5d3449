"""The user's search algorithm and scheduler, made fit for a study."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import FIFOScheduler, create_scheduler
from ray.tune.search import ConcurrencyLimiter, SearchGenerator, Searcher, create_searcher

from hpsearch.errors import CapabilityError, OptionError, nearest
from hpsearch_ray.dialect import flatten
from hpsearch_ray.metrics import OBJECTIVE, mode_of
from hpsearch_ray.points import domain_of
from hpsearch_ray.proposals import Suggestions

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

    from hpsearch.study import Study


def make_scheduler(given: Any, study: Study) -> TrialScheduler:
    """Return a scheduler of the study's own, which knows its metric and direction.

    Raises:
        OptionError: Its metric is never reported, its mode is against the study's direction, or it
            changes parameters that the study does not search.
    """
    if given is None:
        return FIFOScheduler()
    scheduler = _made("scheduler", given, create_scheduler)
    mode = mode_of(study.directions[0])
    has_metric = _check_goal("scheduler", scheduler, mode)
    scheduler.set_search_properties(
        None if has_metric else OBJECTIVE, None if getattr(scheduler, "_mode", None) else mode
    )
    _check_mutations(scheduler, study)
    return scheduler


def make_suggestions(given: Any, study: Study, prefix: str) -> tuple[Suggestions, int | None]:
    """Return a search algorithm of the study's own, and how many trials it lets run at a time.

    Raises:
        OptionError: It has a space, a metric or a mode that are not the study's, or is no searcher.
    """
    searcher = _made("search_alg", given, create_searcher)
    if isinstance(searcher, SearchGenerator):
        searcher = searcher.searcher
    most = None
    if isinstance(searcher, ConcurrencyLimiter):
        most, searcher = searcher.max_concurrent, searcher.searcher
    if not isinstance(searcher, Searcher):
        raise OptionError(
            f"search_alg is a {type(searcher).__name__}, expected one of Ray's searchers; random "
            "draws and grids need none (seed= makes them repeatable, enqueue= sets the first)"
        )
    mode = mode_of(study.directions[0])
    _check_goal("search_alg", searcher, mode)
    assert study.space is not None
    domains = {
        name: domain_of(name, distribution)
        for name, distribution in study.space.parameters.items()
        if len(distribution.values() or "xx") > 1
    }
    if not searcher.set_search_properties(OBJECTIVE, mode, domains):
        raise OptionError(
            f"search_alg {type(searcher).__name__} has a space already; leave it out there, and "
            "it gets the search's own"
        )
    return Suggestions(searcher, study, prefix), most


def _made(option: str, given: Any, create: Any) -> Any:
    if isinstance(given, str):
        try:
            return create(given)
        except (ValueError, ImportError, AssertionError) as error:
            raise OptionError(f"{option} is {given!r}: {error}") from error
    # A search leaves the user's object as it is, for the next one.
    return copy.deepcopy(given)


def _check_goal(option: str, given: Any, mode: str) -> bool:
    """Return whether an object has a metric of its own; raise if it is not the study's."""
    metric = getattr(given, "_metric", None)
    if metric not in (None, OBJECTIVE, "_metric"):
        raise OptionError(
            f"{option} {type(given).__name__} has metric={metric!r}, which is never reported; "
            f"write metric={OBJECTIVE!r}, or leave it out"
        )
    own = getattr(given, "_mode", None)
    if own not in (None, mode):
        raise OptionError(
            f"{option} {type(given).__name__} has mode={own!r}, and the search's direction means "
            f"{mode!r}; change one of them, or leave mode out"
        )
    return metric == OBJECTIVE


def _check_mutations(scheduler: Any, study: Study) -> None:
    """Raise unless all that population-based training changes is searched."""
    mutations = getattr(scheduler, "_hyperparam_mutations", None) or {}
    bounds = getattr(scheduler, "_hyperparam_bounds", None) or {}
    assert study.space is not None
    changed: Mapping[str, Any] = {**flatten(mutations)[0], **flatten(bounds)[0]}
    for name in changed:
        distribution = study.space.parameters.get(name)
        if distribution is None:
            raise OptionError(
                f"scheduler {type(scheduler).__name__} changes {name!r}, which is not in the "
                f"space.{nearest(name, study.space.parameters)} Add it there, with all the values "
                "that it may have"
            )
        if len(distribution.values() or "xx") == 1:
            raise OptionError(
                f"scheduler {type(scheduler).__name__} changes {name!r}, which is constant in the "
                "space; give it there all the values that it may have"
            )
    if changed and study.space.conditions:
        raise CapabilityError(
            f"scheduler {type(scheduler).__name__} changes parameters whatever the others are, and "
            "the space has conditions"
        )
