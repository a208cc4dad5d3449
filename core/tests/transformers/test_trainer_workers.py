"""A Trainer searched in worker processes trains there as it would here."""

import os
import threading
from pathlib import Path

import pytest
from transformers import Trainer

from hpsearch import Categorical, Float
from hpsearch.errors import ArgumentError

SPACE = {"learning_rate": Float(1e-3, 0.2, log=True)}


pytestmark = pytest.mark.usefixtures("modules_travel")


def trials(best):
    return [
        (trial.state, dict(trial.params), trial.objectives, trial.intermediate)
        for trial in best.study.trials
    ]


def test_a_trainer_is_searched_in_workers_as_here(make_trainer, search):
    def there(**options):
        return search(make_trainer(), SPACE, **{"n_trials": 4, **options})

    here = there()
    assert trials(there(executor="process", n_workers=2)) == trials(here)
    isolated = there(executor="process", n_workers=1, isolate=True, n_trials=2)
    assert trials(isolated) == trials(here)[:2]


def test_a_factory_builds_trainers_in_workers(make_trainer, search, toys, tmp_path):
    def factory(trial):
        return Trainer(
            model=toys.Net(trial["width"]),
            args=toys.make_arguments(tmp_path),
            train_dataset=toys.make_data(),
            eval_dataset=toys.make_data(16, seed=1),
        )

    def there(**options):
        return search(
            None,
            {**SPACE, "width": Categorical([4, 8])},
            trainer_factory=factory,
            n_trials=4,
            **options,
        )

    assert trials(there(executor="process", n_workers=2)) == trials(there())


def test_trials_in_workers_are_pruned_at_an_evaluation(make_trainer, search):
    """huggingface/transformers#27487: what a pruner decides has to reach the training."""
    optuna = pytest.importorskip("optuna")
    best = search(
        make_trainer(num_train_epochs=3),
        SPACE,
        backend="optuna",
        pruner=optuna.pruners.PercentilePruner(25, n_startup_trials=1),
        n_trials=8,
        executor="process",
        n_workers=2,
    )
    pruned = [trial for trial in best.study.trials if trial.state == "pruned"]
    # Which ones, and when, is up to the order in which they report: one may be at its last.
    assert any(len(trial.intermediate) < 3 for trial in pruned)


def test_each_trial_has_a_folder_and_its_checkpoint_is_found_here(make_trainer, search, tmp_path):
    best = search(
        make_trainer(),
        SPACE,
        n_trials=4,
        executor="process",
        n_workers=2,
        keep_checkpoints=1,
        direction="minimize",
    )
    assert best.checkpoint.startswith(str(tmp_path / f"run-{best.run_id}"))
    assert Path(best.checkpoint).is_dir()


def test_a_worker_that_dies_in_training_costs_its_trial(make_trainer, search):
    def die(metrics):
        os.kill(os.getpid(), 9)

    def sometimes(metrics):
        return die(metrics) if metrics["eval_loss"] < 0.5 else metrics["eval_loss"]

    best = search(
        make_trainer(),
        SPACE,
        compute_objective=sometimes,
        n_trials=6,
        max_failures=9,
        executor="process",
        n_workers=2,
    )
    counts = best.study.counts()
    assert counts["complete"] + counts["failed"] == 6
    assert counts["failed"]
    assert counts["complete"]


def test_what_a_trainer_holds_and_cannot_travel_is_named(make_trainer, search):
    lock = threading.Lock()

    def compute_metrics(prediction):
        with lock:
            return {"one": 1.0}

    with pytest.raises(ArgumentError, match="the Trainer's compute_metrics uses 'lock'"):
        search(make_trainer(compute_metrics=compute_metrics), SPACE, executor="process")


def test_a_parameter_that_nobody_reads_ends_a_search_in_workers(make_trainer, search, toys):
    def model_init(trial):
        return toys.Net()

    with pytest.raises(ArgumentError, match="'width'.*did not read it"):
        search(
            make_trainer(model_init=model_init),
            {"width": Categorical([4, 8])},
            n_trials=4,
            executor="process",
            n_workers=2,
        )
