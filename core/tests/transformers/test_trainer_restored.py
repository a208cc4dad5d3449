"""The Trainer comes back as it was given, and a trial's memory is released."""

import gc
import weakref

import pytest
import torch
from torch import nn
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_callback import ExportableState

import hpsearch
from hpsearch.errors import SearchFailedError
from hpsearch.transformers import TrainerObjective
from hpsearch.transformers.snapshot import freeze_gc

LR = {"learning_rate": hpsearch.Float(1e-3, 0.1, log=True)}
SPACE = {
    "learning_rate": hpsearch.Float(1e-3, 0.1, log=True),
    "per_device_train_batch_size": hpsearch.Categorical([2, 4]),
}


def snapshot(trainer):
    return {
        name: value
        for name, value in vars(trainer).items()
        if name not in ("state", "control")  # compared by value below
    }


def test_arguments_model_and_everything_else_come_back(make_trainer, search):
    """huggingface/transformers#23150: args and state keep the last trial's values."""
    trainer = make_trainer()
    before, args = snapshot(trainer), trainer.args.to_dict()
    model, weights = trainer.model, {k: v.clone() for k, v in trainer.model.state_dict().items()}
    search(trainer, SPACE, n_trials=3)
    after = snapshot(trainer)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] is not before[name]] == []
    assert trainer.args.to_dict() == args
    assert trainer.model is model
    assert all(torch.equal(weights[k], v) for k, v in trainer.model.state_dict().items())
    assert trainer.state.global_step == 0


def test_the_trainer_trains_afterwards_as_if_nothing_had_been(make_trainer, search, toys):
    trainer = make_trainer()
    search(trainer, SPACE, n_trials=2)
    weights, metrics = toys.train_fresh(trainer)
    fresh_weights, fresh_metrics = toys.train_fresh(make_trainer())
    assert toys.same_weights(weights, fresh_weights)
    assert metrics == fresh_metrics


def test_a_trainer_that_has_trained_keeps_what_it_learnt(make_trainer, search):
    trainer = make_trainer()
    trainer.train()
    loss = trainer.evaluate()["eval_loss"]
    before = snapshot(trainer)
    search(trainer, SPACE, n_trials=2)
    after = snapshot(trainer)
    assert [name for name in after if after[name] is not before.get(name)] == []
    assert trainer.state.global_step == 6
    assert trainer.evaluate()["eval_loss"] == loss


def test_the_trainer_comes_back_from_a_trial_that_raised(make_trainer, search):
    trainer = make_trainer()
    before = snapshot(trainer)

    def raises(metrics):
        raise ZeroDivisionError

    with pytest.raises(SearchFailedError):
        search(trainer, SPACE, compute_objective=raises)
    after = snapshot(trainer)
    assert [name for name in after if after[name] is not before.get(name)] == []
    assert trainer.is_in_train is False


def test_callbacks_of_trials_are_gone_and_those_given_are_the_same(make_trainer, search):
    class Adds(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            trainer.add_callback(TrainerCallback())

    trainer = make_trainer(callbacks=[Adds()])
    before = list(trainer.callback_handler.callbacks)
    search(trainer, SPACE, n_trials=2)
    assert trainer.callback_handler.callbacks == before


def test_patience_does_not_carry_over_from_trial_to_trial(make_trainer):
    """huggingface/setfit#502: the counter of the trial before stops the next at its first step."""
    trainer = make_trainer(
        num_train_epochs=5,
        save_strategy="epoch",
        load_best_model_at_end=True,
        greater_is_better=True,
        metric_for_best_model="loss",
        callbacks=[EarlyStoppingCallback(2)],
    )
    study = hpsearch.search(
        TrainerObjective(trainer),
        {"learning_rate": hpsearch.Categorical([1e-2, 1.1e-2, 1.2e-2])},
        backend="grid",
        n_trials=3,
        progress=False,
    )
    # The loss falls and is to rise: each trial ends after the best, first, evaluation and two more.
    assert [len(trial.intermediate) for trial in study.trials] == [3, 3, 3]


class Budget(TrainerCallback, ExportableState):
    """Stops for good after some evaluations; transformers exports and restores its count."""

    def __init__(self, evaluations=3):
        self.evaluations = evaluations
        self.spent = 0

    def on_evaluate(self, args, state, control, **kwargs):
        self.spent += 1
        control.should_training_stop = self.spent >= self.evaluations

    def state(self):
        return {"args": {"evaluations": self.evaluations}, "attributes": {"spent": self.spent}}


def test_what_an_earlier_training_counted_up_is_forgotten_for_the_trials(make_trainer, search):
    budget = Budget()
    trainer = make_trainer(num_train_epochs=5, callbacks=[budget])
    trainer.train()
    best = search(trainer, LR, n_trials=2)
    assert len(best.trial.intermediate) == 3
    assert budget.spent == 3  # and comes back as it was given


def test_a_callback_goes_on_collecting_into_its_users_list(make_trainer, search, toys):
    kept = []
    search(make_trainer(callbacks=[toys.Weights(kept)]), SPACE, n_trials=3)
    assert len(kept) == 3


class Tracked(nn.Module):
    """Leaves a weak reference to each of its kind."""

    alive: list[weakref.ref[nn.Module]] = []

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        Tracked.alive.append(weakref.ref(self))

    def forward(self, x, labels=None):
        logits = self.layer(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.fixture
def tracked():
    Tracked.alive.clear()
    return Tracked.alive


def living(tracked):
    return sum(reference() is not None for reference in tracked)


def test_each_trials_model_is_released_before_the_next_is_built(make_trainer, search, tracked):
    """huggingface/transformers#13019, #9929: out of memory after some trials."""
    counts = []

    def model_init():
        counts.append(living(tracked))
        return Tracked()

    trainer = make_trainer(model_init=model_init)
    counts.clear()
    search(trainer, SPACE, n_trials=4)
    assert counts == [1, 1, 1, 1]  # the model that the Trainer was given, and no trial's
    assert living(tracked) == 1


def test_memory_is_released_after_a_trial_that_raised(make_trainer, search, tracked):
    trainer = make_trainer(model_init=lambda: Tracked())

    def raises(metrics):
        raise MemoryError("as CUDA would")

    with pytest.raises(SearchFailedError) as caught:
        search(trainer, SPACE, n_trials=3, max_failures=2, compute_objective=raises)
    # While the exception and its traceback live, the frames hold no model.
    assert caught.value.study.counts()["failed"] == 3
    assert living(tracked) == 1


def test_memory_is_released_after_a_pruned_trial(make_trainer, search, tracked):
    trainer = make_trainer(model_init=lambda: Tracked())
    prune_all(trainer)
    assert living(tracked) == 1  # the one that the Trainer came with
    del trainer
    assert living(tracked) == 0


class PruneAll:
    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return True


def prune_all(trainer):
    hpsearch.search(
        TrainerObjective(trainer), LR, backend="random", plugins=[PruneAll()], progress=False
    )


def test_noise_on_the_embeddings_goes_with_a_pruned_trial(make_trainer, tiny_bert):
    trainer = tiny_bert(make_trainer, neftune_noise_alpha=5.0)
    prune_all(trainer)
    assert not trainer.model.get_input_embeddings()._forward_hooks


def test_memory_is_measured_after_a_pruned_trial_as_before(make_trainer):
    trainer = make_trainer(skip_memory_metrics=False)
    prune_all(trainer)
    assert "eval_mem_cpu_alloc_delta" in trainer.evaluate()


def test_a_search_makes_collections_quick(make_trainer, search):
    frozen = []

    def objective(metrics):
        frozen.append(gc.get_freeze_count())
        return metrics["eval_loss"]

    gc.unfreeze()
    try:
        search(make_trainer(), LR, compute_objective=objective)
        assert min(frozen) > 0
        assert gc.get_freeze_count() == 0
    finally:
        gc.freeze()


def test_freeze_gc_sets_the_rest_of_the_process_aside_and_brings_it_back():
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    try:
        with freeze_gc():
            assert gc.get_freeze_count() > 0
            with freeze_gc():  # already so: left alone
                pass
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() == 0
    finally:
        if frozen:
            gc.freeze()
