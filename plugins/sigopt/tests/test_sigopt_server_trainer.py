"""A Trainer searched on a SigOpt server, as the documentation of transformers 4.34 has it."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainingArguments

from hpsearch.transformers import disable, enable, hyperparameter_search
from hpsearch.transformers.snapshot import freeze_gc


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x, labels):
        logits = self.layer(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def sigopt_hp_space(trial):
    return [
        {"bounds": {"min": 1e-6, "max": 1e-4}, "name": "learning_rate", "type": "double"},
        {
            "categorical_values": ["16", "32", "64", "128"],
            "name": "per_device_train_batch_size",
            "type": "categorical",
        },
    ]


@pytest.fixture
def enabled():
    enable()
    yield
    disable()


@pytest.fixture
def trainer(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SIGOPT_API_URL", server.url)
    monkeypatch.setenv("SIGOPT_API_TOKEN", server.token)
    torch.set_num_threads(1)
    points = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    data = [{"x": point, "labels": int(point.sum() > 0)} for point in points]
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
        model=None,
        args=arguments,
        train_dataset=data,
        eval_dataset=data,
        model_init=lambda trial: Net() if trial is None or trial.assignments else None,
    )
    trainer.remove_callback(PrinterCallback)
    with freeze_gc():
        yield trainer


@pytest.mark.usefixtures("enabled")
def test_the_documentations_call_runs_on_a_server(server, trainer):
    best_trial = trainer.hyperparameter_search(
        direction="maximize",
        backend="sigopt",
        hp_space=sigopt_hp_space,
        n_trials=3,
        compute_objective=lambda metrics: metrics["eval_loss"],
        proxies={"no": "127.0.0.1"},
    )
    (experiment,) = server.experiments
    (best,) = experiment.best()
    assert best["assignments"] == best_trial.hyperparameters
    assert best["values"][0]["value"] == best_trial.objective
    assert best_trial.run_summary.id == str(experiment.id)


def test_a_trainers_trials_are_runs_of_an_ai_experiment(server, trainer):
    """With sigopt 8, transformers 4.34 made each trial a run of the project "huggingface"."""
    best = hyperparameter_search(
        trainer,
        sigopt_hp_space,
        backend="sigopt",
        runs=True,
        project="huggingface",
        hp_name=lambda trial: f"size-{trial.assignments['per_device_train_batch_size']}",
        n_trials=2,
        progress=False,
    )
    runs = list(server.experiments[0].runs.values())
    assert [run["state"] for run in runs] == ["completed", "completed"]
    assert [run["assignments"] for run in runs] == [
        dict(trial.params) for trial in best.study.trials
    ]
    assert min(run["values"]["objective"]["value"] for run in runs) == best.objective
