"""Population-based training of a Trainer: checkpoints are saved, exploited and gone on from."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path

import pytest

transformers = pytest.importorskip("transformers")

import ray  # noqa: E402
import torch  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.schedulers import PopulationBasedTraining  # noqa: E402
from torch import nn  # noqa: E402
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments  # noqa: E402

import hpsearch  # noqa: E402
from hpsearch.transformers import hyperparameter_search, load_best_model  # noqa: E402

FROZEN, GOOD = {"learning_rate": 1e-8}, {"learning_rate": 0.05}


@pytest.fixture(autouse=True, scope="module")
def known_to_workers():
    """No package holds this file, so workers could not import what it defines."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.outer = nn.Linear(4, 2)

    def forward(self, x, labels=None):
        logits = self.outer(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Rates(TrainerCallback):
    """Notes which rate each step is made with, and which one its trial is said to have."""

    def __init__(self, path):
        self.path = path

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        rate = optimizer.param_groups[0]["lr"]
        note = state.trial_name, state.global_step, rate, state.trial_params["learning_rate"]
        with self.path.open("a") as file:
            file.write(json.dumps(note) + "\n")

    def notes(self, trial):
        notes = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [(step, rate, said) for name, step, rate, said in notes if name == f"run-{trial.id}"]


@pytest.fixture
def rates(tmp_path):
    return Rates(tmp_path / "rates")


@pytest.fixture
def trainer(tmp_path, rates):
    inputs = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    data = [{"x": x, "labels": int(x.sum() > 0)} for x in inputs]
    trainer = Trainer(
        args=TrainingArguments(
            output_dir=str(tmp_path / "out"),
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            save_strategy="no",
            eval_strategy="epoch",
            logging_strategy="no",
            num_train_epochs=7,  # not a multiple of the interval: what is exploited goes on
            lr_scheduler_type="constant",
        ),
        model_init=Net,
        train_dataset=data,
        eval_dataset=data,
        callbacks=[rates],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class Watcher:
    """Keeps the parameters that each report was made with."""

    def __init__(self):
        self.reports = []

    @hpsearch.hookimpl
    def hpsearch_report(self, trial, step, values):
        self.reports.append((trial.number, step, values[0], trial["learning_rate"]))


def train_population(trainer, results, **options):
    return hyperparameter_search(
        trainer,
        {"learning_rate": tune.loguniform(1e-8, 0.1)},
        backend="ray",
        n_trials=2,
        enqueue=[FROZEN, GOOD],
        scheduler=PopulationBasedTraining(
            time_attr="training_iteration",
            perturbation_interval=2,
            hyperparam_mutations={"learning_rate": tune.uniform(0.02, 0.1)},
            quantile_fraction=0.5,
            synch=True,
        ),
        storage_path=results,
        progress=False,
        **options,
    )


def test_a_population_trains(trainer, rates, results, tmp_path):
    """One member cannot learn: it takes over what the other one has learnt, again and again."""
    watcher = Watcher()
    best = train_population(trainer, results, plugins=[watcher])
    frozen, _ = best.study.trials
    assert [str(trial.state) for trial in best.study.trials] == ["complete", "complete"]

    # Exploited: its loss stood still, and then went on from the other one's.
    losses = [values[0] for values in frozen.intermediate.values()]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert all(later < losses[1] - 0.01 for later in losses[2:])
    assert len(frozen.attrs["changed_params"]) >= 1
    assert frozen.attrs["changed_params"][0]["params"] == FROZEN

    # In force: each step is made with the rate that the trial has, up to the last one.
    for trial in best.study.trials:
        notes = rates.notes(trial)
        assert all(rate == said for _, rate, said in notes)
        assert notes[-1][1] == trial["learning_rate"]
        in_reports = [rate for number, _, _, rate in watcher.reports if number == trial.number]
        assert [r for r, _ in groupby(in_reports)] == [r for r, _ in groupby(n[1] for n in notes)]

    # The best run's checkpoint is the one that scored, in the user's folder, and the only one.
    assert best.checkpoint == str(tmp_path / "out" / f"run-{best.run_id}" / "checkpoint-21")
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective
    folders = sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.glob("out/*/checkpoint-*")
    )
    assert folders == ["out/run-0/checkpoint-21", "out/run-1/checkpoint-21"]


def test_only_the_best_member_keeps_its_checkpoint(trainer, results, tmp_path):
    best = train_population(trainer, results, keep_checkpoints=1)
    assert list(tmp_path.glob("out/*/checkpoint-*")) == [Path(best.checkpoint)]
    load_best_model(trainer, best)
    assert trainer.evaluate()["eval_loss"] == best.objective
