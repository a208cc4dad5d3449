"""What the scripts of this folder share: a tiny Trainer, and a file in which each rank writes."""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

import hpsearch
from hpsearch.transformers import hyperparameter_search

RANK = int(os.environ["RANK"])
LR = {"learning_rate": hpsearch.Float(0.001, 0.1)}

torch.set_num_threads(1)
warnings.simplefilter("ignore")
logging.getLogger("transformers").setLevel(logging.ERROR)


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.inner = nn.Linear(4, width)
        self.outer = nn.Linear(width, 2)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x, labels=None):
        logits = self.outer(self.dropout(self.inner(x).relu()))
        loss = nn.functional.cross_entropy(logits, labels) if labels is not None else None
        return {"loss": loss, "logits": logits}


def make_data(count=22, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 4, generator=generator)
    return [{"x": x, "labels": int(x.sum() > 0)} for x in inputs]


def make_trainer(folder, model_init=None, callbacks=(), model=None, eval_dataset=(), **changes):
    defaults = {
        "output_dir": str(folder),
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "eval_strategy": "epoch",
        "num_train_epochs": 3,
        "learning_rate": 0.05,
    }
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**{**defaults, **changes}),
        model_init=(model_init or new_net) if model is None else None,
        train_dataset=make_data(),
        eval_dataset=make_data(16, seed=1) if eval_dataset == () else eval_dataset,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def new_net():
    return Net()


def search(trainer, space=LR, **options):
    options = {"backend": "random", "seed": 0, "n_trials": 2, "progress": False, **options}
    return hyperparameter_search(trainer, space, **options)


class At(TrainerCallback):
    """Does something in some trials, at the end of the second step."""

    def __init__(self, act, **ranks_by_trial):
        self.act = act
        self.where = {int(name.strip("_")): ranks for name, ranks in ranks_by_trial.items()}
        self.trial = -1

    def on_train_begin(self, args, state, control, **kwargs):
        self.trial = int(state.trial_name.rpartition("-")[2])

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2 and RANK in self.where.get(self.trial, ()):
            self.act()


class Steps(TrainerCallback):
    """Notes the steps of each training's evaluations."""

    def __init__(self):
        self.seen = []

    def on_train_begin(self, args, state, control, **kwargs):
        self.seen.append([])

    def on_evaluate(self, args, state, control, **kwargs):
        self.seen[-1].append(state.global_step)

    def on_train_end(self, args, state, control, **kwargs):
        self.seen[-1].append("end")


def told(study):
    """Return what a rank knows of a study, floats to the last bit."""
    return [
        {
            "number": trial.number,
            "state": str(trial.state),
            "params": dict(trial.params),
            "objectives": [value.hex() for value in trial.objectives or ()],
            "steps": list(trial.intermediate),
            "error": None if trial.error is None else str(trial.error),
            "run_name": trial.attrs.get("run_name"),
            "left_by_rank": trial.attrs.get("left_by_rank"),
        }
        for trial in study.trials
    ]


def say(text):
    """Write a line in one piece, which another rank's cannot break up."""
    os.write(1, f"rank {RANK} {text}\n".encode())


def run_all(scenarios):
    """Run every scenario in this rank and write down what each gave, or how it was refused."""
    folder = Path(sys.argv[1])
    results = {}
    for scenario in scenarios:
        try:
            results[scenario.__name__] = scenario(folder / scenario.__name__)
        except Exception as error:
            results[scenario.__name__] = {"raised": f"{type(error).__name__}: {error}"}
        (folder / f"rank{RANK}.json").write_text(json.dumps(results))
