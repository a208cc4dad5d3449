"""Our backends keep their contract with trials in worker processes, two at a time."""

from __future__ import annotations

import pytest

from hpsearch import Float, Int
from hpsearch.testing.contract.suggestions import SuggestionContract
from hpsearch.testing.contract.trials import EndingContract
from hpsearch.testing.objectives import StopsTheStudy


class OnWorkers:
    def _search(self, objective, space, arguments):
        if "executor" not in arguments:
            arguments = {"executor": "process", "n_workers": 2, **arguments}
        return super()._search(objective, space, arguments)


class Suggesting(OnWorkers, SuggestionContract):
    pass


class Ending(OnWorkers, EndingContract):
    def test_a_trial_may_end_the_search(self):
        """With several workers, how many trials run beside it depends on who is faster."""
        study = self.search(StopsTheStudy(3), self.space, n_workers=1)
        assert len(study.trials) == 4


class TestRandomSuggests(Suggesting):
    backend = "random"


class TestRandomEnds(Ending):
    backend = "random"


class TestGridEnds(Ending):
    backend = "grid"
    space = {"x": Float(0.0, 1.0, step=0.25), "n": Int(1, 5)}
    refuses = frozenset({"float", "float-log"})


class TestOptunaSuggests(Suggesting):
    backend = "optuna"
    # TPE's first ten trials are random; later ones depend on which trials have ended.
    n_trials = 10


class TestOptunaEnds(Ending):
    backend = "optuna"


class TestSigOptEnds(Ending):
    backend = "sigopt"
    n_trials = 8
    refuses = frozenset({"float-single", "int-single", "categorical-single"})


class TestWandbEnds(Ending):
    backend = "wandb"
    n_trials = 8
    options = {"mode": "offline"}
    pruning_options = {"early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2}}

    @pytest.fixture(autouse=True)
    def _at_rest(self, engines_at_rest):
        """Runs are kept in the test's folder."""
