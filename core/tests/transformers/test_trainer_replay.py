"""``check_replay``: the first trial is trained twice, and a search that cannot be repeated ends."""

import itertools
import os
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

import hpsearch
from hpsearch import Float
from hpsearch.errors import ArgumentError, ReplayError
from hpsearch.transformers import TrainerObjective

LR = {"learning_rate": Float(1e-3, 0.1, log=True)}


class Count(TrainerCallback):
    """Counts the trainings, in a folder so that other processes can."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_begin(self, args, state, control, **kwargs):
        (
            self.folder / f"{state.trial_name.replace('/', '-')}-{len(list(self.folder.iterdir()))}"
        ).touch()


@pytest.fixture
def trainings(tmp_path):
    """The trainings that a callback counted, by name."""
    folder = tmp_path / "trainings"
    folder.mkdir()
    return folder


def counted(folder):
    return sorted(path.name.rpartition("-")[0] for path in folder.iterdir())


@pytest.mark.usefixtures("modules_travel")
@pytest.mark.parametrize("place", [{}, {"executor": "process", "n_workers": 1}])
def test_a_search_that_can_be_repeated_goes_on(make_trainer, search, trainings, tmp_path, place):
    trainer = make_trainer(callbacks=[Count(trainings)], save_strategy="epoch")
    best = search(trainer, LR, n_trials=3, check_replay=True, **place)
    assert counted(trainings) == ["run-0", "run-0-replay", "run-1", "run-2"]
    assert [trial.attrs.get("replayed") for trial in best.study.trials] == [True, None, None]
    assert not (tmp_path / "run-0" / "replay").exists()
    assert Path(best.study.trials[0].checkpoint).is_dir()
    plain = search(make_trainer(save_strategy="epoch"), LR, n_trials=3)
    assert [t.objectives for t in plain.study.trials] == [t.objectives for t in best.study.trials]


def drifting(make_trainer, steps):
    """A Trainer whose loss is another one from a step of its second training on."""
    calls = itertools.count()

    def drifts(outputs, labels, num_items_in_batch=None):
        loss = torch.nn.functional.cross_entropy(outputs["logits"], labels)
        return loss * (2 if next(calls) >= steps else 1)

    return make_trainer(compute_loss_func=drifts, num_train_epochs=3)


def test_a_search_that_cannot_be_repeated_ends_with_an_error(make_trainer, search):
    """huggingface/transformers#16683: the same seed and other results."""
    # A training has three epochs of three steps, and evaluates in two after each.
    with pytest.raises(ReplayError) as caught:
        search(drifting(make_trainer, 15 + 5 + 1), LR, n_trials=3, check_replay=True)
    text = str(caught.value)
    assert "trial 0 was trained twice" in text
    assert "differ at step 6: 0." in text
    assert "'calls', which drifts uses" in text


def test_two_trainings_that_report_nothing_are_compared_at_their_end(make_trainer, search):
    trainer = drifting(make_trainer, 9 + 2)
    trainer.args.eval_strategy = "no"
    with pytest.raises(ReplayError, match="differ at the end"):
        search(trainer, LR, check_replay=True)


def test_a_second_training_that_fails_is_named(make_trainer, search):
    once = iter([1])

    class Once(TrainerCallback):
        def on_train_begin(self, *args, **kwargs):
            next(once)

    with pytest.raises(ReplayError, match="the second training failed: StopIteration"):
        search(make_trainer(callbacks=[Once()]), LR, check_replay=True)


def test_each_search_with_an_objective_is_checked(make_trainer, trainings):
    objective = TrainerObjective(make_trainer(callbacks=[Count(trainings)]), check_replay=True)
    for _ in range(2):
        hpsearch.search(objective, LR, backend="random", n_trials=1, progress=False)
    assert sum("replay" in name for name in counted(trainings)) == 2


def test_a_factory_is_checked(make_trainer, search, trainings):
    def factory(trial):
        return make_trainer(callbacks=[Count(trainings)], learning_rate=trial["learning_rate"])

    search(None, LR, trainer_factory=factory, n_trials=2, check_replay=True)
    assert counted(trainings) == ["run-0", "run-0-replay", "run-1"]


def test_what_is_suggested_on_the_way_is_the_same_again(make_trainer, search, toys, trainings):
    def model_init(trial):
        return toys.Net(8 if trial is None else trial.suggest_int("width", 3, 5))

    def space(trial):
        return {"learning_rate": 10 ** -trial.suggest_int("exponent", 1, 3)}

    trainer = make_trainer(model_init=model_init, callbacks=[Count(trainings)])
    best = search(trainer, space, n_trials=2, check_replay=True)
    assert counted(trainings) == ["run-0", "run-0-replay", "run-1"]
    assert best.study.trials[0].attrs["replayed"]


class PruneAtFour:
    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number == 0 and step == 6


def test_a_pruned_trial_is_compared_as_far_as_it_went(make_trainer, search, trainings):
    trainer = make_trainer(callbacks=[Count(trainings)], num_train_epochs=4)
    best = search(trainer, LR, n_trials=2, check_replay=True, plugins=[PruneAtFour()])
    assert counted(trainings) == ["run-0", "run-0-replay", "run-1"]
    assert best.study.trials[0].state == "pruned"
    assert list(best.study.trials[0].intermediate) == [3, 6]


def test_where_the_first_trial_fails_the_next_one_is_checked(make_trainer, search, trainings):
    trials = []

    def fails_once(metrics):
        trials.append(metrics)
        if len(trials) == 1:
            raise ZeroDivisionError
        return metrics["eval_loss"]

    trainer = make_trainer(callbacks=[Count(trainings)])
    options = {"compute_objective": fails_once, "max_failures": 1, "n_trials": 3}
    search(trainer, LR, check_replay=True, **options)
    assert counted(trainings) == ["run-0", "run-1", "run-1-replay", "run-2"]


def test_a_study_that_was_checked_is_not_checked_again(make_trainer, search, trainings, tmp_path):
    options = {"storage": tmp_path / "study.db", "resume": True, "check_replay": True}
    search(make_trainer(callbacks=[Count(trainings)]), LR, n_trials=1, **options)
    search(make_trainer(callbacks=[Count(trainings)]), LR, n_trials=2, **options)
    assert counted(trainings) == ["run-0", "run-0-replay", "run-1"]


def test_a_study_that_was_not_checked_is_checked_when_it_goes_on(
    make_trainer, search, trainings, tmp_path
):
    options = {"storage": tmp_path / "study.db", "resume": True}
    search(make_trainer(callbacks=[Count(trainings)]), LR, n_trials=1, **options)
    search(make_trainer(callbacks=[Count(trainings)]), LR, n_trials=3, check_replay=True, **options)
    assert counted(trainings) == ["run-0", "run-1", "run-1-replay", "run-2"]


def test_what_a_user_collects_has_each_trial_once(make_trainer, search, toys):
    kept = []
    search(make_trainer(callbacks=[toys.Weights(kept)]), LR, n_trials=2, check_replay=True)
    assert len(kept) == 2


def test_a_check_that_is_no_flag_is_refused(make_trainer, search):
    with pytest.raises(ArgumentError, match="check_replay is 'yes'"):
        search(make_trainer(), LR, check_replay="yes")


class Dies(TrainerCallback):
    """Ends the process of the first training of all."""

    def __init__(self, file):
        self.file = file

    def on_step_end(self, args, state, control, **kwargs):
        if not self.file.exists():
            self.file.touch()
            os._exit(9)


@pytest.mark.usefixtures("modules_travel")
def test_a_search_in_which_no_trial_was_trained_twice_says_so(
    make_trainer, search, tmp_path, caplog
):
    """A new worker does not know which trial is to be trained twice, once the first has died."""
    trainer = make_trainer(callbacks=[Dies(tmp_path / "died")])
    options = {"storage": tmp_path / "study.db", "check_replay": True, "max_failures": 9}
    place = {"executor": "process", "n_workers": 1}
    search(trainer, LR, n_trials=3, **options, **place)
    assert "check_replay: no trial was trained twice" in caplog.text
    caplog.clear()
    best = search(trainer, LR, n_trials=4, resume=True, **options)
    assert best.study.trials[3].attrs["replayed"] is True
    assert "no trial was trained twice" not in caplog.text
