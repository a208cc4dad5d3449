"""The contract's third part: seeds, define-by-run, an end of things to try, open suggestions."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from hpsearch.errors import CapabilityError
from hpsearch.space.distributions import Int
from hpsearch.study.study import Study
from hpsearch.testing.contract.base import Contract
from hpsearch.testing.executors import SeveralOpen
from hpsearch.testing.objectives import Distance, suggests, suggests_in_branches
from hpsearch.testing.observer import Recorder

OPEN = 3
"""How many suggestions are held open at a time."""


class SuggestionContract(Contract):
    """How parameters are chosen."""

    def test_the_same_seed_gives_the_same_suggestions(self) -> None:
        """With the capability 'seeding', the same seed gives the same suggestions."""
        self.skip_unless("seeding")
        once, again = (params(self.search(Distance(), self.space, seed=7)) for _ in range(2))
        self.expect(once == again, f"seed 7 gave\n{_lines(once)}\nand then\n{_lines(again)}")

    def test_different_seeds_give_different_suggestions(self) -> None:
        """With the capability 'seeding', different seeds give different suggestions."""
        self.skip_unless("seeding")
        one, other = (params(self.search(Distance(), self.space, seed=seed)) for seed in (1, 2))
        self.expect(one != other, f"seeds 1 and 2 both gave\n{_lines(one)}")

    def test_to_maximize_is_to_minimize_the_negative(self) -> None:
        """To maximize an objective is to minimize its negative.

        With the capability 'seeding', both get the same suggestions from the same seed.
        """
        self.skip_unless("seeding")
        down, again = (params(self.search(Distance(), self.space)) for _ in range(2))
        if down != again:
            pytest.skip("the same seed gives other suggestions each time")
        up = params(self.search(Distance(sign=-1.0), self.space, direction="maximize"))
        self.expect(down == up, f"minimizing gave\n{_lines(down)}\nand maximizing\n{_lines(up)}")

    def test_the_global_random_state_is_left_alone(self) -> None:
        """The random state that the user's own code shares is left alone.

        A search neither seeds nor draws from Python's and, where it is loaded, NumPy's.
        """
        self.skip_loop_owner()
        self.search(Distance(), self.space)  # What an engine does once, on import, is its own.
        random.random()  # A state that a seed was set in would look untouched when it is set again.
        before = _random_states()
        self.search(Distance(), self.space)
        after = _random_states()
        touched = [name for name, state in before.items() if after[name] != state]
        self.expect(not touched, f"the search changed the global state of {', '.join(touched)}")

    def test_a_running_trial_may_suggest_or_is_refused(self) -> None:
        """Define-by-run works if declared, and is refused if not.

        With the capability 'define_by_run', a trial may ask for parameters while it runs, in
        branches of its own; without it, such a search is refused with a CapabilityError.
        """
        if not self.capabilities.define_by_run:
            self.refused(CapabilityError, suggests_in_branches, None)
            return
        study = self.search(suggests_in_branches, None)
        for trial in study.trials:
            self.expect(trial.error is None, f"trial {trial.number} failed: {trial.error}")
            asked = {"x", "n", "depth"} if trial["n"] > 2 else {"x", "n"}
            self.expect(
                set(trial.params) == asked,
                f"trial {trial.number} asked for {sorted(asked)} and has {dict(trial.params)}",
            )

    def test_a_running_trial_gets_what_was_set_beforehand(self) -> None:
        """A running trial gets what was set for it beforehand.

        With the capabilities 'define_by_run' and 'replay', a parameter in trial.fixed is answered
        with that value.
        """
        self.skip_unless("define_by_run")
        self.skip_unless("replay")
        fixed = {"x": 0.25, "n": 2}
        first = self.search(suggests, None, enqueue=[fixed]).trials[0]
        self.expect(
            first.error is None and dict(first.params) == fixed,
            f"{fixed} was enqueued; trial 0 had {dict(first.params)}, error {first.error}",
        )

    def test_a_finite_space_ends_the_search_or_does_not(self) -> None:
        """A finite space ends the search if 'exhaustible' is declared, else never.

        With the capability, EXHAUSTED is answered when every point was tried, and the search ends
        in order; without it, suggestions never end.
        """
        space = {"a": Int(0, 1), "b": Int(0, 1)}
        if not self.capabilities.exhaustible:
            study = self.search(Distance(), space, n_trials=8)
            self.expect(
                len(study.trials) >= 8,
                f"a space of 4 points ended the search after {len(study.trials)} of 8 trials",
            )
            return
        study = self.search(Distance(), space, n_trials=40)
        tried = {(trial["a"], trial["b"]) for trial in study.trials}
        self.expect(len(tried) == 4, f"the search ended with {sorted(tried)} tried, of 4 points")
        self.expect(len(study.trials) < 40, "a space of 4 points was searched in all 40 trials")

    def test_suggestions_that_are_open_together_differ(self) -> None:
        """With max_parallel above 1, suggestions that are open together differ.

        A trial gets parameters while others are still running, and not theirs over again.
        """
        study = self._several_open(last_first=False)
        first = params(study)[:OPEN]
        self.expect(
            any(point != first[0] for point in first[1:]),
            f"{OPEN} suggestions were open together and all were {first[0]}",
        )

    def test_trials_may_end_in_another_order(self) -> None:
        """With max_parallel above 1, trials may end in another order than they started."""
        self._several_open(last_first=True)

    def test_no_more_suggestions_are_open_than_declared(self) -> None:
        """No more than max_parallel trials are ever started and not yet told."""
        recorder, most = Recorder(), self.capabilities.max_parallel
        executor = {} if self.capabilities.owns_loop else {"executor": SeveralOpen(OPEN + 2)}
        self.search(Distance(), self.space, plugins=[recorder], **executor)
        self.expect(
            recorder.most_open <= (most or OPEN + 2),
            f"max_parallel is {most}, and {recorder.most_open} trials were open together",
        )

    def _several_open(self, *, last_first: bool) -> Study:
        self.skip_loop_owner()
        workers = min(OPEN, self.capabilities.max_parallel or OPEN)
        if workers == 1:
            pytest.skip("max_parallel is 1")
        executor = SeveralOpen(workers, last_first=last_first)
        return self.search(Distance(), self.space, executor=executor)


def params(study: Study) -> list[dict[str, Any]]:
    """Return the parameters of every trial, by number."""
    return [dict(trial.params) for trial in study.trials]


def _lines(points: list[dict[str, Any]]) -> str:
    return "\n".join(f"  {point}" for point in points)


def _random_states() -> dict[str, Any]:
    states: dict[str, Any] = {"random": random.getstate()}
    if "numpy" in sys.modules:
        numpy: Any = sys.modules["numpy"]
        states["numpy.random"] = repr(numpy.random.get_state())
    return states
