"""Enqueued trials: whatever a search gave back is taken, and nothing that is given is dropped."""

from __future__ import annotations

import numpy as np
import pytest

import hpsearch
from hpsearch import Categorical, Float, Space, TrialPruned
from hpsearch.errors import ArgumentError, SpaceError

GROUPS = Space({"opt.lr": Float(0.0, 1.0, step=0.1), "k": Categorical([1, 2])}, groups=["opt"])


def search(objective, space, **options):
    return hpsearch.search(
        objective, space, **{"backend": "random", "seed": 1, "progress": False, **options}
    )


def lr(trial):
    return trial["opt.lr"]


@pytest.mark.parametrize(
    "given",
    [
        {"opt": {"lr": 0.3}, "k": 2},
        {"opt.lr": 0.3, "k": 2},
        {"opt": {"lr": 0.1 + 0.2}, "opt.lr": 0.3, "k": np.int64(2)},
        {"opt.lr": np.float64(0.3), "k": 2},
    ],
)
def test_groups_are_taken_nested_and_flat(given):
    study = search(lr, GROUPS, n_trials=1, enqueue=[given])
    assert dict(study.trials[0].params) == {"opt.lr": 0.3, "k": 2}


def test_two_spellings_that_contradict_each_other_are_refused():
    with pytest.raises(SpaceError, match="parameter 'opt.lr' is given twice, as 0.3 and as 0.4"):
        search(lr, GROUPS, enqueue=[{"opt.lr": 0.3, "opt": {"lr": 0.4}, "k": 1}])


def derived(trial):
    return {"batch": 2 ** trial.suggest_int("power", 3, 6)}


@pytest.mark.parametrize("backend", ["random", "grid"])
def test_the_best_run_in_any_form_is_tried_again_with_what_is_derived_from_it(backend):
    best = search(lambda t: t["batch"], derived, backend=backend, n_trials=4).best
    for given in (best, best.trial, best.hyperparameters):
        again = search(lambda t: t["batch"], derived, backend=backend, n_trials=1, enqueue=[given])
        assert dict(again.trials[0]) == best.hyperparameters


@pytest.mark.parametrize("backend", ["random", "grid", "optuna"])
def test_a_name_that_no_trial_asks_for_ends_the_search_and_is_named(backend):
    given = {"power": 3, "batchsize": 8}
    with pytest.raises(SpaceError, match="'batchsize'"):
        search(lambda t: t["batch"], derived, backend=backend, n_trials=2, enqueue=[given])


def test_a_trial_that_is_pruned_before_it_asked_for_everything_is_pruned():
    def objective(trial):
        if trial.suggest_float("x", 0, 1) < 0.5:
            raise TrialPruned
        return trial.suggest_float("y", 0, 1)

    study = search(objective, None, n_trials=3, enqueue=[{"x": 0.25, "y": 0.5}])
    assert study.trials[0].state == "pruned"
    assert len(study.trials) == 3


def test_what_is_enqueued_beyond_the_total_of_a_resumed_search_is_refused(tmp_path):
    options = {"storage": tmp_path / "s.db", "resume": True, "n_trials": 3}
    search(lambda t: t["x"], {"x": Float(0, 1)}, **options)
    with pytest.raises(ArgumentError, match="0 of n_trials=3 are left; raise n_trials"):
        search(lambda t: t["x"], {"x": Float(0, 1)}, enqueue=[{"x": 0.5}], **options)
    options["n_trials"] = 4
    study = search(lambda t: t["x"], {"x": Float(0, 1)}, enqueue=[{"x": 0.5}], **options)
    assert study.trials[3]["x"] == 0.5
    again = search(lambda t: t["x"], {"x": Float(0, 1)}, enqueue=[{"x": 0.5}], **options)
    assert len(again.trials) == 4


def test_a_step_that_was_enqueued_in_another_spelling_runs_once(tmp_path):
    def objective(trial):
        return trial.suggest_float("d", 0.0, 0.5, step=0.1)

    for total, given in ((2, 0.1 + 0.2), (4, 0.3)):
        study = search(
            objective,
            None,
            n_trials=total,
            enqueue=[{"d": given}],
            storage=tmp_path / "s.db",
            resume=True,
        )
    assert [trial.number for trial in study.trials if trial.fixed] == [0]
