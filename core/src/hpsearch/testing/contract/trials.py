"""The contract's last part: how trials end, what is best, and how a search goes on."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from hpsearch.errors import CapabilityError
from hpsearch.space.space import Space
from hpsearch.study.best import best_trial, pareto_front
from hpsearch.study.outcome import TrialState
from hpsearch.study.study import Study
from hpsearch.testing.contract.base import Contract
from hpsearch.testing.contract.suggestions import params
from hpsearch.testing.executors import OtherProcess
from hpsearch.testing.objectives import (
    Distance,
    Hopeless,
    StopsTheStudy,
    fails_often,
    fails_once,
    reports,
    suggests,
)
from hpsearch.testing.observer import Recorder

GOOD, HOPELESS = 10, 8
"""How many good trials a pruner sees, and how many hopeless ones after them."""


class EndingContract(Contract):
    """How trials and searches end."""

    def test_every_trial_is_told_exactly_once(self) -> None:
        """Every trial is told exactly once.

        A search has as many trials as asked for, numbered from 0.
        """
        recorder = Recorder()
        study = self.search(Distance(), self.space, plugins=[recorder])
        numbers = list(range(self.n_trials))
        self.expect(
            [trial.number for trial in study.trials] == numbers,
            f"{self.n_trials} trials were asked for; the study has {list(study.trials)}",
        )
        self.expect(
            sorted(recorder.told) == numbers,
            f"trials {numbers} ran, and those told are {sorted(recorder.told)}",
        )

    def test_the_search_goes_on_after_failed_trials(self) -> None:
        """The search goes on after failed trials.

        A trial that raises is told as failed. As long as the failure policy allows it, the search
        runs to its last trial.
        """
        study = self.search(fails_often, self.space, max_failures=math.inf)
        failed = [t.number for t in study.trials if t.state is TrialState.FAILED]
        raised = [t.number for t in study.trials if t.number % 3 == 1]
        self.expect(failed == raised, f"trials {raised} raised, and those told as failed: {failed}")
        self.expect(
            len(study.trials) >= self.n_trials,
            f"the search ended after {len(study.trials)} of {self.n_trials} trials",
        )

    def test_a_trial_may_end_the_search(self) -> None:
        """No trial starts once the search is to end.

        After trial.stop_study(), or when the failure policy says so: a backend that owns the loop
        asks study.history.may_start() before each trial.
        """
        study = self.search(StopsTheStudy(3), self.space)
        most = 4 + (self.capabilities.max_parallel or self.n_trials) - 1
        most = most if self.capabilities.owns_loop else 4
        self.expect(
            len(study.trials) <= most,
            f"trial 3 ended the search, and {len(study.trials)} trials ran",
        )

    def test_reports_reach_the_history(self) -> None:
        """What a trial reports reaches its history, and everyone, once."""
        recorder = Recorder()
        study = self.search(reports, self.space, plugins=[recorder])
        steps = {trial.number: sorted(trial.intermediate) for trial in study.trials}
        self.expect(
            all(kept == [0, 1, 2] for kept in steps.values()),
            f"each trial reported steps 0, 1 and 2; kept are {steps}",
        )
        self.expect(
            len(recorder.reported) == 3 * len(study.trials),
            f"{len(recorder.reported)} reports were seen of {3 * len(study.trials)}",
        )

    def test_hopeless_trials_are_pruned_or_never(self) -> None:
        """Hopeless trials are pruned if 'pruning' is declared, else none is.

        With the capability, a trial far worse than all before it is stopped at some point (set
        pruning_options where that takes options); without it, the backend prunes no trial.
        """
        pruning = self.capabilities.pruning
        study = self._hopeless_search(**self.pruning_options if pruning else {})
        pruned = [t.number for t in study.trials if t.state is TrialState.PRUNED]
        if pruning:
            self.expect(
                any(number >= GOOD for number in pruned),
                f"none of {HOPELESS} hopeless trials was pruned, after {GOOD} good ones",
            )
        else:
            self.expect(not pruned, f"it pruned {pruned} without declaring 'pruning'")

    def test_the_cores_pruner_works_with_the_backend(self) -> None:
        """A pruner of the core works with the backend.

        It stops hopeless trials, and the backend accepts that they are told as pruned.
        """
        study = self._hopeless_search(pruner="median")
        pruned = [t.number for t in study.trials if t.state is TrialState.PRUNED]
        self.expect(
            any(number >= GOOD for number in pruned),
            f"pruner 'median' pruned none of {HOPELESS} hopeless trials",
        )

    @pytest.mark.parametrize("direction", ["minimize", "maximize"])
    def test_the_best_run_is_the_best_of_the_history(self, direction: str) -> None:
        """The best run is the best of the history.

        It is a complete trial, and no other has a better objective.
        """
        study = self.search(Distance(), self.space, direction=direction)
        objectives = {trial.id: trial.objective for trial in study.trials}
        best = best_trial(study.trials, direction)
        self.expect(
            best is not None
            and study.best.objective == best.objective == objectives.get(study.best.run_id),
            f"{study.best} is named as best, and the history has {objectives}",
        )

    def test_several_directions_give_the_front_or_are_refused(self) -> None:
        """Several directions give the Pareto front if declared, and are refused if not.

        With the capability 'multi_objective', the best runs are the trials that no other dominates;
        without it, several directions are refused with a CapabilityError.
        """
        directions = ["minimize", "minimize"]
        objective = Distance(directions=2)
        if not self.capabilities.multi_objective:
            self.refused(CapabilityError, objective, self.space, direction=directions)
            return
        study = self.search(objective, self.space, direction=directions)
        front = {trial.id for trial in pareto_front(study.trials, directions)}
        named = {run.run_id for run in study.best_runs}
        self.expect(named == front, f"runs {named} are named, and the front is {front}")

    def _hopeless_search(self, **arguments: object) -> Study:
        objective = Hopeless(GOOD)
        return self.search(objective, self.space, n_trials=GOOD + HOPELESS, **arguments)


class ContinuationContract(Contract):
    """How a search takes in trials of elsewhere."""

    def test_an_enqueued_trial_is_accepted_or_refused(self) -> None:
        """Enqueued trials run if 'replay' is declared, and are refused if not.

        With the capability, they run first, with their parameters, and the search goes on;
        without it, enqueue= is refused with a CapabilityError.
        """
        point = Space(self.space).sample(random.Random(99))
        if not self.capabilities.replay:
            self.refused(CapabilityError, Distance(), self.space, enqueue=[point])
            return
        study = self.search(Distance(), self.space, enqueue=[point])
        self.expect(
            dict(study.trials[0].params) == point,
            f"{point} was enqueued, and trial 0 had {dict(study.trials[0].params)}",
        )

    def test_a_failed_trial_is_run_again_or_retries_are_refused(self) -> None:
        """Failed trials run again if 'replay' is declared; else retries are refused.

        With the capability, a failed trial that has retries left runs again, as a new trial with
        the same parameters; without it, retries= is refused with a CapabilityError.
        """
        if not self.capabilities.replay:
            self.refused(CapabilityError, fails_once, self.space, retries=1)
            return
        trials = self.search(fails_once, self.space, retries=1).trials
        again = [trial for trial in trials if trial.retry_of == 1]
        self.expect(
            [trial.params for trial in again] == [trials[1].params],
            f"trial 1 failed with {dict(trials[1].params)}, and ran again as {again}",
        )

    def test_a_resumed_search_goes_on_or_is_refused(self, tmp_path: Path) -> None:
        """A search is resumed if 'replay' is declared, and refused if not.

        With the capability, it goes on from its journal to the new total: earlier trials stay as
        they were, and new ones do not draw the old ones' values over again; without it,
        resume=True is refused with a CapabilityError.
        """
        storage, half = tmp_path / "study.db", self.n_trials // 2
        first = self.search(Distance(), self.space, n_trials=half, storage=storage)
        if not self.capabilities.replay:
            self.refused(CapabilityError, Distance(), self.space, storage=storage, resume=True)
            return
        whole = self.search(Distance(), self.space, storage=storage, resume=True)
        old, points = params(first), params(whole)
        new = points[len(old) :]
        self.expect(
            points[: len(old)] == old and len(new) > 0,
            f"the first run had\n{old}\nand resumed to {self.n_trials} trials\n{points}",
        )
        self.expect(
            new[: len(old)] != old[: len(new)],
            f"the resumed search drew the first trials over again: {new}",
        )

    def test_a_trial_may_run_in_another_process(self) -> None:
        """Trials run wherever the executor takes them.

        What a trial needs to start there crosses as JSON, and its reports and suggestions come
        back the same way. A backend that owns the loop refuses executor= with a CapabilityError.
        """
        if self.capabilities.owns_loop:
            self.refused(CapabilityError, reports, self.space, executor=OtherProcess())
            return
        study = self.search(reports, self.space, n_trials=4, executor=OtherProcess())
        for trial in study.trials:
            self.expect(
                trial.state is TrialState.COMPLETE and len(trial.intermediate) == 3,
                f"trial {trial.number} ended {trial.state} there: {trial.error}",
            )
            self.expect(isinstance(trial.id, str), f"trial.id is {trial.id!r}, expected a text")
        if self.capabilities.define_by_run:
            study = self.search(suggests, None, n_trials=4, executor=OtherProcess())
            states = [str(trial.state) for trial in study.trials]
            self.expect(states == ["complete"] * 4, f"trials that suggest ended {states} there")
