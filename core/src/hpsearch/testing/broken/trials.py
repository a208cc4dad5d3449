"""Broken in how trials end, what is best, and how a search goes on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpsearch.plugins.backend import EXHAUSTED, Exhausted
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.session.coordinator import Coordinator
from hpsearch.session.local import LocalChannel
from hpsearch.study.outcome import TrialState
from hpsearch.study.study import BestRun
from hpsearch.testing.broken.registry import caught_by
from hpsearch.testing.sound import OwnsLoop, Sound

if TYPE_CHECKING:
    from hpsearch.execution.evaluate import Evaluate
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study


# How trials end.


@caught_by("test_every_trial_is_told_exactly_once")
class StopsShort(OwnsLoop):
    """Leaves out the last trial, unless the space is finite or a trial failed."""

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        control = study.history
        known = {} if study.space is None else study.space.parameters
        finite = bool(known) and all(item.size() is not None for item in known.values())
        while control.may_start():
            failed = any(trial.state is TrialState.FAILED for trial in study.trials)
            if control.remaining == 1 and not finite and not failed:
                break
            trial = control.ask()
            if trial is None:
                break
            control.tell(trial, self.run(study, trial, evaluate))
        return True


@caught_by("test_the_search_goes_on_after_failed_trials")
class GivesUp(Sound):
    """Ends the search by a failure policy of its own."""

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        failed = [other for other in study.trials if other.state is TrialState.FAILED]
        return EXHAUSTED if len(failed) > 2 else super().hpsearch_suggest(study, trial)


@caught_by("test_a_trial_may_end_the_search")
class RunsOn(OwnsLoop):
    """Runs the number of trials asked for, whatever they say."""

    @hookimpl
    def hpsearch_run(self, study: Study, evaluate: Evaluate) -> bool:
        control = study.history
        while control.remaining:
            trial = control.ask()
            if trial is None and "asked for it" not in (control.stop_reason or ""):
                break
            if trial is None:  # The core starts no trial any more, so the engine begins its own.
                trial = control.begin({} if study.space is None else study.trials[-1].params)
            control.tell(trial, self.run(study, trial, evaluate))
        return True


class _Deaf(LocalChannel):
    def report(self, step: int, values: tuple[float, ...], checkpoint: str | None = None) -> bool:
        return step > 0 and super().report(step, values, checkpoint)


@caught_by("test_reports_reach_the_history")
class LosesReports(OwnsLoop):
    """Runs trials where nobody hears what they report first."""

    def channel(self, study: Study, trial: TrialRecord) -> LocalChannel:
        assert isinstance(study.history, Coordinator)
        return _Deaf(study.history, trial)


@caught_by("test_hopeless_trials_are_pruned_or_never")
class NeverPrunes(Sound):
    """Declares that it prunes, and lets everything go on."""

    capabilities = replace(Sound.capabilities, pruning=True)

    @hookimpl
    def hpsearch_report(self, study: Study, trial: TrialRecord) -> bool:
        return False


@caught_by("test_hopeless_trials_are_pruned_or_never")
class PrunesUnasked(Sound):
    """Prunes at step 20, and does not declare it."""

    @hookimpl
    def hpsearch_report(self, study: Study, step: int) -> bool:
        return step == 20


@caught_by("test_the_cores_pruner_works_with_the_backend")
class KnowsNoPrunedTrials(Sound):
    """Expects objectives of every trial that has not failed."""

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        if trial.state is not TrialState.FAILED and not trial.objectives:
            raise ValueError(f"trial {trial.number} has no objectives")


# What is best.


@caught_by("test_the_best_run_is_the_best_of_the_history")
class NamesTheLowest(Sound):
    """Names the run with the lowest objective, whatever the direction."""

    @hookimpl
    def hpsearch_best(self, study: Study) -> list[BestRun] | None:
        complete = [trial for trial in study.trials if trial.objectives]
        if len(study.directions) > 1 or not complete:
            return None
        return [BestRun.of(min(complete, key=lambda trial: trial.objectives or ()))]


@caught_by("test_several_directions_give_the_front_or_are_refused")
class NamesOneOfTheFront(Sound):
    """Names one run where many are best."""

    @hookimpl
    def hpsearch_best(self, study: Study) -> list[BestRun] | None:
        if len(study.directions) == 1:
            return None
        return [BestRun.of(min(study.trials, key=lambda trial: trial.objectives or ()))]


# Trials from elsewhere, and elsewhere.


@caught_by("test_an_enqueued_trial_is_accepted_or_refused")
class StartsWithASuggestion(Sound):
    """Sets itself up at its first suggestion, and runs no trial before."""

    _ready = False

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any] | Exhausted:
        self._ready = True
        return super().hpsearch_suggest(study, trial)

    @hookimpl
    def hpsearch_start(self, study: Study, trial: TrialRecord) -> None:
        if not self._ready:
            raise RuntimeError("nothing was suggested yet")


@caught_by("test_a_failed_trial_is_run_again_or_retries_are_refused")
class HoldsAGrudge(Sound):
    """Refuses results for parameters that have failed before."""

    _failed: tuple[Mapping[str, Any], ...] = ()

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        if trial.params in self._failed:
            raise ValueError(f"{dict(trial.params)} is known to fail")
        if trial.state is TrialState.FAILED:
            self._failed = (*self._failed, dict(trial.params))


@caught_by("test_a_resumed_search_goes_on_or_is_refused")
class StartsOver(Sound):
    """Draws one sequence for each seed, from its start in every run."""

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        self._rng = random.Random(study.seed)

    def rng(self, study: Study, trial: TrialRecord) -> random.Random:
        return self._rng


@caught_by("test_a_resumed_search_goes_on_or_is_refused")
class KnowsItsOwnOnly(Sound):
    """Takes results of trials only that it saw start."""

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        self._started: set[int] = set()

    @hookimpl
    def hpsearch_start(self, study: Study, trial: TrialRecord) -> None:
        self._started.add(trial.number)

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        self._started.remove(trial.number)


@caught_by("test_a_trial_may_run_in_another_process")
class NamesTrialsOddly(Sound):
    """Gives trials an id that is not a text."""

    @hookimpl
    def hpsearch_start(self, study: Study, trial: TrialRecord) -> None:
        odd: Any = 1000 + trial.number
        trial.id = odd
