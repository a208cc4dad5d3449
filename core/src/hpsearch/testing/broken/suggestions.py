"""Broken in how they choose: seeds, define-by-run, an end, several open suggestions."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.plugins.backend import EXHAUSTED, Exhausted
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.space.distributions import Int
from hpsearch.testing.broken.registry import caught_by
from hpsearch.testing.sound import OwnsLoop, Sound

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.space.distributions import Distribution
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


# Seeds and order.


@caught_by("test_the_same_seed_gives_the_same_suggestions")
class IgnoresTheSeed(Sound):
    """Draws from a generator that nobody seeded."""

    def rng(self, study: Study, trial: TrialRecord) -> random.Random:
        return random.Random()


@caught_by("test_different_seeds_give_different_suggestions")
class HasOneSeed(Sound):
    """Draws from the trial's number alone."""

    def rng(self, study: Study, trial: TrialRecord) -> random.Random:
        return random.Random(trial.number)


@caught_by("test_to_maximize_is_to_minimize_the_negative")
class AlwaysMinimizes(Sound):
    """Draws near the trial with the lowest objective, whatever the direction."""

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        drawn = super().hpsearch_suggest(study, trial)
        complete = [other for other in study.trials if other.objectives]
        if len(complete) < 4 or isinstance(drawn, Exhausted):
            return drawn
        lowest = min(complete, key=lambda other: other.objectives or ())
        return {
            name: (value + lowest[name]) / 2 if name in ("x", "y") else value
            for name, value in drawn.items()
        }


@caught_by("test_the_global_random_state_is_left_alone")
class SeedsTheWorld(Sound):
    """Makes itself repeatable at the cost of everybody else."""

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        random.seed(study.seed)


# Define-by-run.


@caught_by("test_a_running_trial_may_suggest_or_is_refused")
class KnowsNoBranches(Sound):
    """Knows the parameters that every trial asks for, and no other."""

    @hookimpl
    def hpsearch_suggest_parameter(
        self, trial: TrialRecord, name: str, distribution: Distribution
    ) -> Any:
        known = {"x": 0.5, "n": 4}
        return trial.fixed.get(name, known.get(name))


@caught_by("test_a_running_trial_gets_what_was_set_beforehand")
class ForgetsWhatWasSet(Sound):
    """Draws what was set beforehand."""

    @hookimpl
    def hpsearch_suggest_parameter(
        self, trial: TrialRecord, name: str, distribution: Distribution
    ) -> Any:
        return self.draw(distribution, random.Random(trial.seed))


# The end of things to try, and several suggestions at a time.


@caught_by("test_a_finite_space_ends_the_search_or_does_not")
class EndsUnasked(Sound):
    """Ends the search when a finite space was tried, and does not declare it."""

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        known = {} if study.space is None else study.space.parameters
        finite = len(known) == 2 and all(isinstance(item, Int) for item in known.values())
        ends = finite and len(study.trials) == 4
        return EXHAUSTED if ends else super().hpsearch_suggest(study, trial)


@caught_by("test_a_finite_space_ends_the_search_or_does_not")
class NeverEnds(Sound):
    """Declares an end that never comes."""

    capabilities = replace(Sound.capabilities, exhaustible=True)


@caught_by("test_suggestions_that_are_open_together_differ")
class RepeatsItself(Sound):
    """Suggests the same until a trial is told."""

    _last: Mapping[str, Any] | Exhausted | None = None

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        self._last = self._last or super().hpsearch_suggest(study, trial)
        return self._last

    @hookimpl
    def hpsearch_tell(self, trial: TrialRecord) -> None:
        self._last = None


@caught_by("test_trials_may_end_in_another_order")
class ExpectsAnOrder(Sound):
    """Takes results in the order of its suggestions only."""

    _next = 0

    @hookimpl
    def hpsearch_tell(self, trial: TrialRecord) -> None:
        if trial.number != self._next:
            raise LookupError(f"expected the result of suggestion {self._next}")
        self._next += 1


@caught_by("test_no_more_suggestions_are_open_than_declared")
class OpensTooMany(OwnsLoop):
    """Keeps two trials open and declares one."""

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        while study.history.may_start():
            two = [study.history.ask() for _ in range(2) if study.history.may_start()]
            for trial in two:
                if trial is not None:
                    study.history.tell(trial, self.run(study, trial, evaluate))
        return True
