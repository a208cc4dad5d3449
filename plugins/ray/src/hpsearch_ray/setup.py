"""How Ray Tune is set up for a study, with the search algorithm and scheduler of the user."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray.tune import schedulers
from ray.tune.search import ConcurrencyLimiter, Searcher, SearchGenerator, create_searcher

from hpsearch.errors import CapabilityError, OptionError, nearest
from hpsearch_ray.dialect import flatten
from hpsearch_ray.metrics import OBJECTIVE, mode_of
from hpsearch_ray.points import domain_of, is_constant, searcher_name, searcher_point
from hpsearch_ray.proposals import Draws, Suggestions

if TYPE_CHECKING:
    from hpsearch.space.space import Space
    from hpsearch.study.study import Study
    from hpsearch_ray.options import RayOptions
    from hpsearch_ray.proposals import Proposals


@dataclass(frozen=True, slots=True)
class TuneSetup:
    """How Ray Tune is set up for a study.

    Attributes:
        scheduler: Ray's scheduler, which stops, pauses and changes trials.
        proposals: Where parameters come from; None where that is another backend.
        most: How many trials may run at a time, None for as many as there is room for.
        prefix: What the ids of the search's trials begin with in Ray.
    """

    scheduler: Any
    proposals: Proposals | None
    most: int | None
    prefix: str

    @classmethod
    def of(cls, study: Study, options: RayOptions) -> TuneSetup:
        """Return what the user's options say, for one study.

        Raises:
            OptionError: The options, or the objects in them, do not fit the study or each other.
        """
        assert study.space is not None
        study.space.check_exact("Ray Tune")
        most = _limit(study, options)
        prefix = _prefix()
        scheduler = _scheduler(options.scheduler, study)
        if options.search_alg is None:
            return cls(scheduler, Draws(study), most, prefix)
        if changes_trials(scheduler):
            raise OptionError(
                f"scheduler {type(scheduler).__name__} changes parameters itself, and Ray gives it "
                "no search_alg; leave one of them out"
            )
        searcher, its_most = _searcher(options.search_alg, study)
        most = min((number for number in (most, its_most) if number), default=None)
        return cls(scheduler, Suggestions(searcher, study, prefix), most, prefix)

    @classmethod
    def of_another(cls, study: Study, n_workers: int | None) -> TuneSetup:
        """Return what only runs the trials of a study, as many at a time as its backend allows."""
        limits = (n_workers, study.capabilities.max_parallel)
        most = min((number for number in limits if number), default=None)
        return cls(_scheduler(None, study), None, most, _prefix())


def changes_trials(scheduler: Any) -> bool:
    """Whether a scheduler changes the parameters of running trials."""
    return hasattr(scheduler, "_hyperparam_mutations") or hasattr(scheduler, "_hyperparam_bounds")


def _scheduler(given: Any, study: Study) -> Any:
    if given is None:
        return schedulers.create_scheduler("fifo")
    scheduler = _made("scheduler", given, schedulers.create_scheduler)
    mode = mode_of(study.directions[0])
    has_metric = _check_goal("scheduler", scheduler, mode)
    scheduler.set_search_properties(
        None if has_metric else OBJECTIVE, None if getattr(scheduler, "_mode", None) else mode
    )
    _check_mutations(scheduler, study)
    return scheduler


def _searcher(given: Any, study: Study) -> tuple[Searcher, int | None]:
    """Return a search algorithm that knows the study, and how many trials it lets run."""
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
        searcher_name(name): domain_of(name, distribution)
        for name, distribution in study.space.parameters.items()
        if not is_constant(distribution)
    }
    if not _told(searcher, mode, domains, study.space):
        raise OptionError(
            f"search_alg {type(searcher).__name__} has a space already; leave it out there, and "
            "it gets the search's own"
        )
    return searcher, most


def _told(searcher: Any, mode: str, domains: Mapping[str, Any], space: Space) -> bool:
    """Tell a search algorithm what it searches, and the points that it was given in our terms."""
    name = type(searcher).__name__
    points = getattr(searcher, "_points_to_evaluate", None)
    try:
        if isinstance(points, list | tuple):
            searcher._points_to_evaluate = [searcher_point(space, point) for point in points]
        told: bool = searcher.set_search_properties(OBJECTIVE, mode, domains)
    except (OptionError, ValueError, TypeError) as error:
        if not points:
            raise
        raise OptionError(f"points_to_evaluate of search_alg {name}: {error}") from error
    return told


def _made(option: str, given: Any, create: Callable[[str], Any]) -> Any:
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
    assert study.space is not None
    space, name = study.space, type(scheduler).__name__
    changed: Mapping[str, Any] = {}
    for attribute in ("_hyperparam_mutations", "_hyperparam_bounds"):
        changed = {**changed, **flatten(getattr(scheduler, attribute, None) or {})[0]}
    for parameter in changed:
        if parameter not in space.parameters:
            raise OptionError(
                f"scheduler {name} changes {parameter!r}, which is not in the space."
                f"{nearest(parameter, space.parameters)} Add it there, with all its values"
            )
        if is_constant(space.parameters[parameter]):
            raise OptionError(
                f"scheduler {name} changes {parameter!r}, which is constant in the space; give it "
                "there all the values that it may have"
            )
    if changed and space.conditions:
        raise CapabilityError(
            f"scheduler {name} changes parameters whatever the others are, and the space has "
            "conditions"
        )


def _prefix() -> str:
    return secrets.token_hex(3)[:5]


def _limit(study: Study, options: RayOptions) -> int | None:
    """Return how many trials the user lets run at a time."""
    given = {study.n_workers, options.max_concurrent_trials} - {None}
    if len(given) > 1:
        raise OptionError(
            f"n_workers is {study.n_workers} and max_concurrent_trials "
            f"{options.max_concurrent_trials}, which say the same; leave one out"
        )
    return next(iter(given), None)
