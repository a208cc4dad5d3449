"""A Trainer searched by a sweep of a server: its own W&B callback logs into the agent's run."""

from __future__ import annotations

import pytest

transformers = pytest.importorskip("transformers")

import torch  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from hpsearch.transformers import hyperparameter_search  # noqa: E402

pytestmark = [
    # wandb leaves the file with a run's parameters to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TINY = BertConfig(
    vocab_size=32,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
)


def wandb_hp_space(trial):
    return {
        "method": "random",
        "metric": {"name": "objective", "goal": "minimize"},
        "parameters": {
            "learning_rate": {"distribution": "uniform", "min": 1e-6, "max": 1e-4},
            "per_device_train_batch_size": {"values": [4, 8]},
        },
    }


def test_the_trainers_callback_logs_into_the_agents_run(server, tmp_path):
    tokens = torch.randint(0, 32, (16, 8), generator=torch.Generator().manual_seed(0))
    data = [{"input_ids": row, "labels": int(row[0] > 15)} for row in tokens]
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        report_to=["wandb"],
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
        eval_strategy="epoch",
        num_train_epochs=2,
    )
    trainer = Trainer(
        args=arguments,
        model_init=lambda: BertForSequenceClassification(TINY),
        train_dataset=data,
        eval_dataset=data,
    )
    best = hyperparameter_search(
        trainer,
        wandb_hp_space,
        backend="wandb",
        mode="online",
        project="demo",
        n_trials=2,
        progress=False,
        compute_objective=lambda metrics: metrics["eval_loss"] * 2,
    )
    assert best.run_summary == server.sweep.name
    assert not server.runs
    assert [trial.id for trial in best.study.trials] == list(server.sweep.runs)
    for trial, run in zip(best.study.trials, server.sweep.runs.values(), strict=True):
        assert run.state == "finished"
        assert run.summary["objective"] == trial.objective
        assert run.params["learning_rate"] == trial["learning_rate"]
        logged = [row["eval/loss"] for row in run.history if "eval/loss" in row]
        assert [2 * loss for loss in logged] == [v[0] for v in trial.intermediate.values()]
        assert trial.params.keys() == {"learning_rate", "per_device_train_batch_size"}
    lowest = min(server.sweep.runs.values(), key=lambda run: run.summary["objective"])
    assert best.run_id == lowest.name
