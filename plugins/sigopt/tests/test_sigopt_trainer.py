"""A Trainer searched with SigOpt, as the documentation of transformers 4.34 has it."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from hpsearch.errors import ArgumentError
from hpsearch.transformers import at_least, disable, enable, hyperparameter_search
from hpsearch.transformers.snapshot import freeze_gc

SEEN: list[dict[str, Any]] = []
CONFIG = BertConfig(
    vocab_size=16,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=8,
)


def sigopt_hp_space(trial):
    return [
        {"bounds": {"min": 1e-6, "max": 1e-4}, "name": "learning_rate", "type": "double"},
        {
            "categorical_values": ["16", "32", "64", "128"],
            "name": "per_device_train_batch_size",
            "type": "categorical",
        },
    ]


def default_hp_space_sigopt(trial):
    """What transformers 4.34 searched with SigOpt where no space was given."""
    return [
        {
            "bounds": {"min": 1e-6, "max": 1e-4},
            "name": "learning_rate",
            "type": "double",
            "transformamtion": "log",
        },
        {"bounds": {"min": 1, "max": 6}, "name": "num_train_epochs", "type": "int"},
        {"bounds": {"min": 1, "max": 40}, "name": "seed", "type": "int"},
        {
            "categorical_values": ["4", "8", "16", "32", "64"],
            "name": "per_device_train_batch_size",
            "type": "categorical",
        },
    ]


def model_init(trial):
    if trial is not None:
        SEEN.append(dict(trial.assignments))
    return BertForSequenceClassification(CONFIG)


def compute_objective(metrics):
    return metrics["eval_loss"]


@pytest.fixture(autouse=True)
def one_thread():
    SEEN.clear()
    torch.set_num_threads(1)
    with freeze_gc():
        yield


@pytest.fixture
def trainer(tmp_path):
    tokens = torch.randint(0, 16, (8, 4), generator=torch.Generator().manual_seed(0))
    data = [{"input_ids": row, "labels": int(row[0] > 7)} for row in tokens]
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        eval_strategy="epoch",
        num_train_epochs=1,
    )
    trainer = Trainer(
        model=None, args=arguments, train_dataset=data, eval_dataset=data, model_init=model_init
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@pytest.fixture
def enabled():
    enable()
    yield
    disable()


def test_the_documentations_call_runs_as_printed(trainer, enabled):
    best_trial = trainer.hyperparameter_search(
        direction="maximize",
        backend="sigopt",
        hp_space=sigopt_hp_space,
        n_trials=3,
        compute_objective=compute_objective,
    )
    assert 1e-6 <= best_trial.hyperparameters["learning_rate"] <= 1e-4
    assert best_trial.run_summary.progress.observation_count == 3
    (metric,) = best_trial.run_summary.metrics
    assert (metric.name, metric.objective) == ("objective", "maximize")
    assert best_trial.objective == max(trial.objective for trial in best_trial.study.trials)


def test_numbers_written_as_texts_reach_the_arguments_as_their_field_declares(trainer):
    """SigOpt's categories are texts; huggingface/transformers cast each of them with int()."""
    best = hyperparameter_search(
        trainer, sigopt_hp_space, backend="sigopt", n_trials=2, seed=1, progress=False
    )
    for trial in best.study.trials:
        assert trial["per_device_train_batch_size"] in ("16", "32", "64", "128")
        size = trial.attrs["arguments"]["per_device_train_batch_size"]
        assert size == int(trial["per_device_train_batch_size"])
        assert type(size) is int
    assert [dict(trial.params) for trial in best.study.trials] == SEEN


def test_a_category_that_is_no_number_stays_a_text(trainer):
    def hp_space(trial):
        values = ["linear", "cosine"]
        name = "lr_scheduler_type"
        return [{"name": name, "type": "categorical", "categorical_values": values}]

    best = hyperparameter_search(
        trainer, hp_space, backend="sigopt", n_trials=2, seed=1, progress=False
    )
    assert best.trial.attrs["arguments"]["lr_scheduler_type"] in ("linear", "cosine")


def test_the_default_space_of_transformers_is_understood(trainer, caplog):
    best = hyperparameter_search(
        trainer, default_hp_space_sigopt, backend="sigopt", n_trials=1, seed=1, progress=False
    )
    assert "'transformamtion' is read as 'transformation'" in caplog.text
    assert {type(value) for value in best.trial.attrs["arguments"].values()} == {int, float}


def test_an_evaluations_metrics_are_stored_beside_the_objective(trainer):
    """What the Trainer measured need not be annotated again."""
    trainer.compute_metrics = lambda prediction: {"accuracy": 0.5}
    best = hyperparameter_search(
        trainer,
        sigopt_hp_space,
        backend="sigopt",
        compute_objective=compute_objective,
        metrics=["loss", {"name": "eval_accuracy", "strategy": "store"}],
        n_trials=2,
        seed=1,
        progress=False,
    )
    assert best.run_summary.progress.observation_count == 2
    assert [metric.name for metric in best.run_summary.metrics] == ["loss", "eval_accuracy"]


@pytest.mark.parametrize("place", ["experiment", "options"])
def test_metrics_that_an_evaluation_has_are_the_objective(trainer, place):
    """An experiment's metrics by the names that the Trainer has, or without their prefix."""
    trainer.compute_metrics = lambda prediction: {"accuracy": 0.5, "size": 3.0}
    metrics = [
        {"name": "accuracy", "objective": "maximize"},
        {"name": "eval_loss", "objective": "minimize"},
        {"name": "size", "strategy": "constraint", "objective": "minimize", "threshold": 4.0},
    ]
    space = {"parameters": sigopt_hp_space(None)}
    given = {"metrics": metrics, "direction": ["maximize", "minimize"]}
    if place == "experiment":
        space, given = {**space, "metrics": metrics}, {}
    front = hyperparameter_search(
        trainer, space, backend="sigopt", n_trials=2, seed=1, progress=False, **given
    )
    trial = front[0].trial
    assert trial.objectives == (0.5, trial.attrs["metrics"]["eval_loss"])
    assert trial.constraints == {"size": -1.0}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"compute_objective": "eval_loss", "direction": "maximize"},
            "'accuracy', which they optimise, and compute_objective names 'eval_loss'",
        ),
        (
            {"constraints": {"eval_accuracy": at_least(0.1)}},
            "'eval_accuracy' has a threshold where the metrics are defined",
        ),
    ],
)
def test_a_threshold_is_of_the_metric_that_it_names(trainer, options, problem):
    trainer.compute_metrics = lambda prediction: {"accuracy": 0.5}
    metrics = [{"name": "accuracy", "objective": "maximize", "threshold": 0.4}]
    space = {"parameters": sigopt_hp_space(None), "metrics": metrics}
    with pytest.raises(ArgumentError, match=problem):
        hyperparameter_search(
            trainer, space, backend="random", n_trials=1, seed=1, progress=False, **options
        )
