"""The hooks: everything a plugin can do in a search, and when.

A backend implements the ones it needs as methods marked ``@hookimpl``; so does an observer passed
in ``plugins=``. An implementation may leave out arguments that it does not use. Everything that
happens goes through the coordinator in one order: journal, backend, pruner, observers. What
``None`` means is said at each hook.

An observer that raises is reported once and left out of the rest of the search. A backend, a
pruner or the journal that raises ends the search with an error that names the hook, the plugin,
its distribution and version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpsearch.plugins.backend import Exhausted
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.channel import Channel
    from hpsearch.study.outcome import Outcome
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import BestRun, Study

PROJECT = "hpsearch"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


def marked(plugin: object) -> list[str]:
    """Return the names of what is marked ``@hookimpl`` in an object, a class or a module."""
    places = (plugin, *(plugin.__mro__ if isinstance(plugin, type) else ()), *type(plugin).__mro__)
    found: dict[str, Any] = {}
    for place in reversed(places):  # what hides another comes later
        found.update(getattr(place, "__dict__", {}))
    mark = f"{PROJECT}_impl"
    return [name for name, item in found.items() if hasattr(getattr(item, "__func__", item), mark)]


class Evaluation(Protocol):
    """What runs one trial; see :class:`hpsearch.execution.evaluate.Evaluate`. It can be pickled."""

    def __call__(
        self, payload: Mapping[str, Any], connect: Callable[[TrialRecord], Channel]
    ) -> Outcome:
        """Run a trial in another process, from ``payload_of(trial)``."""

    def run(self, record: TrialRecord, channel: Channel) -> Outcome:
        """Run a trial in the study's own process."""


@hookspec
def hpsearch_open(study: Study) -> None:
    """Connect or create what the plugin works with.

    Called once on every plugin, before the first trial. The study has its space, directions, seed
    and, when it is resumed, the trials of earlier runs; each of those that ended is then told with
    :func:`hpsearch_tell` before anything is suggested. A backend refuses here, by raising, what
    its capabilities could not say beforehand.
    """


@hookspec(firstresult=True)
def hpsearch_run(study: Study, evaluate: Evaluation) -> bool | None:
    """Own the loop: run the search until ``study.history.may_start()`` says no more.

    Called once. A backend whose engine schedules trials itself implements it. For each trial it
    calls ``study.history.ask()`` while ``study.history.has_waiting``, or else
    ``study.history.begin(params)``; it runs ``evaluate.run(trial, study.history.channel(trial))``
    here or ``evaluate(payload, connect)`` in another process, and hands the outcome to
    ``study.history.tell(trial, outcome)``.

    Returns:
        True when the search has been run. None leaves it to the next; the core's own ask/tell
        loop is the last.
    """


@hookspec(firstresult=True)
def hpsearch_suggest(study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted | None:
    """Choose the parameters of the next trial.

    Called by the ask/tell loop on the backend, once for each new trial, as soon as a place to run
    it is free; so several may be open at a time, up to the capability ``max_parallel``. When the
    study has a portable space, the answer is exactly one point of it: every parameter searched
    and no other, as plain Python values. For a define-by-run search it is empty, and each
    parameter is asked for in :func:`hpsearch_suggest_parameter`; ``trial.fixed`` then holds the
    values that are set beforehand.
    A backend may set ``trial.native`` to its engine's trial.

    A trial whose parameters are all known beforehand (enqueued, retried, resumed) is not suggested;
    the backend meets it in :func:`hpsearch_tell`.

    Returns:
        The parameters; ``EXHAUSTED`` when there is nothing left to try, which ends the search in
        order and needs the capability ``exhaustible``, or a stop that was requested; None is no
        answer, and an error if nobody else has one.
    """


@hookspec(firstresult=True)
def hpsearch_suggest_parameter(
    study: Study, trial: TrialRecord, name: str, distribution: Distribution
) -> Any | None:
    """Choose one parameter of a running trial, in a define-by-run search.

    Called on a backend with the capability ``define_by_run`` when a trial first asks for a name;
    the core answers later calls for the same name itself. Where ``trial.fixed`` has the name, that
    value is set and must be the answer.

    Returns:
        A value of the distribution. For a categorical whose choices include None, None is a value.
    """


@hookspec
def hpsearch_start(study: Study, trial: TrialRecord) -> None:
    """A trial is about to run.

    Called once for each trial on every plugin, with its parameters as far as they are known (all
    of them, except in a define-by-run search).
    """


@hookspec
def hpsearch_report(
    study: Study, trial: TrialRecord, step: int, values: tuple[float, ...]
) -> bool | None:
    """A running trial reported an intermediate result.

    Called for every new step that a trial reports; the values, one for each direction, are already
    in ``trial.intermediate`` and may be NaN.

    Returns:
        True to stop the trial as pruned: one is enough. Anything else lets it go on.
    """


@hookspec(firstresult=True)
def hpsearch_constrain(study: Study, trial: TrialRecord) -> Mapping[str, float] | None:
    """Say what constraints the engine sees in a trial that is complete or pruned.

    Called once, before anyone is told of the trial, and for each resumed trial, whose record has
    what was answered in the earlier run. What the study's thresholds say is in the record by then.
    The values become part of the record, so the journal, every export and the choice of the best
    run know them. A value that the record has under that name already stays.

    Returns:
        Name to value, feasible where at most 0; None or an empty mapping for no constraints.
    """


@hookspec
def hpsearch_tell(study: Study, trial: TrialRecord) -> None:
    """A trial ended: complete, pruned or failed.

    Called exactly once for each trial that ends. Also called, between ``hpsearch_open`` and the
    first suggestion, for each trial of a resumed study that ended earlier (backend and pruner
    only). A backend with the capability ``replay`` therefore accepts trials that it did not
    suggest: resumed and enqueued ones.
    """


@hookspec(firstresult=True)
def hpsearch_best(study: Study) -> list[BestRun] | None:
    """Name the best run, or the Pareto front.

    Called after the last trial, before ``hpsearch_close``. The runs must be trials of the study's
    history.

    Returns:
        One run, or the front in any order; empty if none of the complete trials may be best. None
        leaves it to the core, which takes the best of the complete, feasible trials.
    """


@hookspec
def hpsearch_amend(study: Study, trial: TrialRecord) -> None:
    """What is known of a trial has changed after it ended, such as a checkpoint that was deleted.

    Called on every plugin, once for each such change; ``trial`` has what is known now.
    """


@hookspec
def hpsearch_close(study: Study, error: BaseException | None) -> None:
    """Release what was opened.

    Called once on every plugin whose ``hpsearch_open`` was called, in reverse order, whatever
    happened. ``error`` is what ended the search, None if it ended in order.
    """


HOOKS = (
    "hpsearch_open",
    "hpsearch_run",
    "hpsearch_suggest",
    "hpsearch_suggest_parameter",
    "hpsearch_start",
    "hpsearch_report",
    "hpsearch_constrain",
    "hpsearch_tell",
    "hpsearch_best",
    "hpsearch_amend",
    "hpsearch_close",
)
