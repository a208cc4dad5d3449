"""A recorded trial, run again alone in the same environment, gives the same to the last bit."""

import pytest
import torch

import hpsearch
from hpsearch.transformers import TrainerObjective, refit

SPACE = {
    "learning_rate": hpsearch.Float(1e-3, 0.2, log=True),
    "seed": hpsearch.Int(1, 1000),
    "per_device_train_batch_size": hpsearch.Categorical([2, 4, 8]),
    "weight_decay": hpsearch.Float(0.0, 0.1),
}


class PruneSecond:
    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number == 1


def run(trainer, n_trials, **options):
    return hpsearch.search(
        TrainerObjective(trainer),
        SPACE,
        backend="random",
        seed=3,
        n_trials=n_trials,
        progress=False,
        **options,
    )


def replay(trainer, trial):
    study = run(trainer, 1, enqueue=[trial.params])
    return study.trials[0]


def outcome(trial):
    return trial.objectives, trial.intermediate, trial.attrs["metrics"]["eval_loss"]


def test_a_trial_after_three_others_is_the_trial_alone(make_trainer, toys):
    kept = []
    study = run(make_trainer(callbacks=[toys.Weights(kept)]), 4)
    alone = []
    replayed = replay(make_trainer(callbacks=[toys.Weights(alone)]), study.trials[3])
    assert outcome(replayed) == outcome(study.trials[3])
    assert toys.same_weights(alone[0], kept[3])


def test_a_trial_after_a_pruned_one_is_the_trial_alone(make_trainer):
    study = run(make_trainer(), 3, plugins=[PruneSecond()])
    assert [trial.state for trial in study.trials] == ["complete", "pruned", "complete"]
    assert outcome(replay(make_trainer(), study.trials[2])) == outcome(study.trials[2])


def test_a_trial_after_a_failed_one_is_the_trial_alone(make_trainer):
    calls = []

    def fails_once(metrics):
        calls.append(metrics)
        if len(calls) == 3:
            raise RuntimeError
        return metrics["eval_loss"]

    study = hpsearch.search(
        TrainerObjective(make_trainer(), compute_objective=fails_once),
        SPACE,
        backend="random",
        seed=3,
        n_trials=3,
        progress=False,
    )
    assert [trial.state for trial in study.trials] == ["complete", "failed", "complete"]
    assert outcome(replay(make_trainer(), study.trials[2])) == outcome(study.trials[2])


def test_a_trainer_that_trained_before_gives_the_same_trials(make_trainer):
    """huggingface/transformers#6699 met the first of these: trials that share one seed's state."""
    used = make_trainer()
    used.train()
    torch.rand(7)  # and the random state is anything
    first, second = run(used, 3), run(make_trainer(), 3)
    assert [outcome(trial) for trial in first.trials] == [outcome(trial) for trial in second.trials]


def test_a_trials_seed_builds_its_model(make_trainer, toys):
    """Upstream applies the seed after the model is built: trial N starts from trial N-1's."""
    built = []

    def model_init():
        model = toys.Net()
        built.append(model.inner.weight.detach().clone())
        return model

    trainer = make_trainer(model_init=model_init)
    hpsearch.search(
        TrainerObjective(trainer),
        {"seed": hpsearch.Categorical([11, 12])},
        backend="grid",
        n_trials=2,
        progress=False,
    )
    for seed, weight in zip((11, 12), built[1:], strict=True):
        torch.manual_seed(seed)
        assert torch.equal(toys.Net().inner.weight, weight)


def test_refit_gives_the_best_trials_model_again(make_trainer, toys):
    """huggingface/sentence-transformers#2939."""
    kept = []
    trainer = make_trainer(callbacks=[toys.Weights(kept)])
    study = run(trainer, 3)
    kept.clear()
    refit(trainer, study.best)
    assert trainer.evaluate()["eval_loss"] == study.best.objective
    assert trainer.args.learning_rate == study.best.hyperparameters["learning_rate"]
    assert trainer.state.global_step > 0
    assert len(kept) == 1


def test_refit_builds_the_model_from_the_trials_parameters(make_trainer, search, toys):
    def model_init(trial):
        return toys.Net(8 if trial is None else trial.suggest_int("width", 3, 5))

    trainer = make_trainer(model_init=model_init)
    best = search(trainer, lambda trial: {}, n_trials=2)
    refit(trainer, best)
    assert trainer.model.inner.out_features == best.hyperparameters["width"]
    assert trainer.evaluate()["eval_loss"] == best.objective
    assert trainer.call_model_init().inner.out_features == 8  # its own again


@pytest.mark.parametrize("workers", [0, 1])
def test_data_loading_does_not_matter(make_trainer, workers):
    study = run(make_trainer(dataloader_num_workers=workers), 2)
    assert outcome(replay(make_trainer(), study.trials[1])) == outcome(study.trials[1])
