"""A Trainer searched by Optuna with its trials on Ray trains there as it would here."""

from __future__ import annotations

import sys

import pytest

transformers = pytest.importorskip("transformers")

import optuna  # noqa: E402
import ray  # noqa: E402
import torch  # noqa: E402
from transformers import BertConfig, PrinterCallback, Trainer, TrainingArguments  # noqa: E402

from hpsearch.transformers import hyperparameter_search  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def known_to_workers():
    """No package holds this file, so workers could not import what it defines."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def bert(trial):
    from transformers import BertForSequenceClassification

    layers = 1 if trial is None else trial.suggest_int("layers", 1, 2)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=32,
            hidden_size=16,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=16,
        )
    )


@pytest.fixture
def trainer(tmp_path):
    tokens = torch.randint(0, 32, (16, 8), generator=torch.Generator().manual_seed(0))
    data = [{"input_ids": row, "labels": int(row[0] > 15)} for row in tokens]
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
        eval_strategy="epoch",
        logging_strategy="no",
        num_train_epochs=4,
    )
    made = Trainer(args=arguments, model_init=bert, train_dataset=data, eval_dataset=data)
    made.remove_callback(PrinterCallback)
    return made


def hp_space(trial):
    return {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)}


def test_a_recipe_travels_and_optuna_prunes_it_there(trainer, results):
    """model_init suggests on the worker, and a pruned training stops at its evaluation."""

    def search(**where):
        pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
        options = {"backend": "optuna", "n_trials": 6, "seed": 3, "pruner": pruner}
        return hyperparameter_search(trainer, hp_space, progress=False, **options, **where).study

    there, here = search(executor="ray", n_workers=1, storage_path=results), search()
    assert [trial.params for trial in there.trials] == [trial.params for trial in here.trials]
    assert [trial.intermediate for trial in there.trials] == [t.intermediate for t in here.trials]
    assert [trial.objectives for trial in there.trials] == [t.objectives for t in here.trials]
    assert {str(trial.state) for trial in there.trials} == {"complete", "pruned"}
    assert {trial["layers"] for trial in there.trials} == {1, 2}
