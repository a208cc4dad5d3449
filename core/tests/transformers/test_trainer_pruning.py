"""A pruned trial stops at that evaluation, ends in order, and leaves nothing behind."""

import pytest
from transformers import EarlyStoppingCallback, TrainerCallback

import hpsearch
from hpsearch.transformers import TrainerObjective

LR = {"learning_rate": hpsearch.Categorical([0.05, 0.1])}


class PruneFirst:
    """Prunes trial 0 at its second evaluation."""

    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number == 0 and len(trial.intermediate) == 2


class Events(TrainerCallback):
    def __init__(self, seen):
        self.seen = seen

    def on_train_begin(self, args, state, control, **kwargs):
        self.seen.append("begin")

    def on_evaluate(self, args, state, control, **kwargs):
        self.seen.append(state.global_step)

    def on_train_end(self, args, state, control, **kwargs):
        self.seen.append("end")


def search_study(trainer, space=LR, n_trials=2, plugins=None, **options):
    return hpsearch.search(
        TrainerObjective(trainer),
        space,
        backend="grid",
        n_trials=n_trials,
        progress=False,
        plugins=[PruneFirst()] if plugins is None else plugins,
        **options,
    )


def test_a_trial_is_pruned_at_the_evaluation_that_asked_for_it(make_trainer):
    seen = []
    study = search_study(make_trainer(num_train_epochs=4, callbacks=[Events(seen)]))
    assert [trial.state for trial in study.trials] == ["pruned", "complete"]
    assert seen == ["begin", 3, 6, "end", "begin", 3, 6, 9, 12, "end"]
    assert list(study.trials[0].intermediate) == [3, 6]


def test_after_a_pruned_trial_the_trainer_is_not_training(make_trainer):
    trainer = make_trainer(num_train_epochs=4)
    search_study(trainer, n_trials=1)
    assert trainer.is_in_train is False
    assert trainer.control.should_training_stop is False
    assert trainer.accelerator._models == []


def test_the_trial_after_a_pruned_one_equals_a_fresh_trainers(make_trainer, toys):
    kept = []
    trainer = make_trainer(num_train_epochs=4, callbacks=[toys.Weights(kept)])
    study = search_study(trainer)
    weights, metrics = toys.train_fresh(make_trainer(num_train_epochs=4, learning_rate=0.1))
    assert toys.same_weights(kept[-1], weights)
    assert toys.without_costs(study.trials[1].attrs["metrics"]) == metrics


@pytest.mark.parametrize("strategy", ["epoch", "steps"])
def test_pruning_works_with_the_best_model_loaded_at_the_end(make_trainer, strategy):
    trainer = make_trainer(
        num_train_epochs=4,
        eval_strategy=strategy,
        save_strategy=strategy,
        eval_steps=3,
        save_steps=3,
        load_best_model_at_end=True,
        callbacks=[EarlyStoppingCallback(2)],
    )
    study = search_study(trainer)
    assert [trial.state for trial in study.trials] == ["pruned", "complete"]
    # The step that was pruned is evaluated and not saved any more.
    assert [path.split("-")[-1] for path in study.trials[0].attrs["checkpoints"]] == ["3"]
    assert study.trials[1].attrs["checkpoint"] in study.trials[1].attrs["checkpoints"]


def test_the_cores_pruners_stop_bad_trials(make_trainer):
    study = search_study(
        make_trainer(num_train_epochs=4),
        {"learning_rate": hpsearch.Categorical([0.1, 0.09, 0.08, 0.07, 0.06, 1e-7])},
        n_trials=6,
        plugins=[],
        pruner="median",
    )
    assert study.trials[-1].state == "pruned"
    assert len(study.trials[-1].intermediate) < 4


def test_a_trial_can_be_pruned_before_its_first_step(make_trainer):
    class PruneAtOnce:
        @hpsearch.hookimpl
        def hpsearch_report(self, study, trial, step, values):
            return step == 0

    trainer = make_trainer(eval_on_start=True)
    study = search_study(trainer, n_trials=1, plugins=[PruneAtOnce()])
    assert study.trials[0].state == "pruned"
    assert list(study.trials[0].intermediate) == [0]


def test_a_pruned_trial_closes_its_reports_and_counts_no_failure(make_trainer):
    study = search_study(make_trainer(num_train_epochs=4), n_trials=1)
    assert study.counts()["failed"] == 0
    assert study.trials[0].error is None
    assert study.trials[0].attrs["run_name"] == "run-0"
