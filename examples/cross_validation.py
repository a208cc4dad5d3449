"""A trial that is cross-validated: its objective is the mean over the folds."""

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from hpsearch import Float
from hpsearch.transformers import Folds, hyperparameter_search, refit


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x, labels=None):
        logits = self.linear(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


points = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
data = [{"x": x, "labels": int(x.sum() > 0)} for x in points]
trainer = Trainer(
    model_init=Net,
    args=TrainingArguments("folds", num_train_epochs=2, report_to="none", disable_tqdm=True),
    train_dataset=data,
)
best = hyperparameter_search(
    trainer,
    {"learning_rate": Float(1e-3, 1e-1, log=True)},
    backend="optuna",
    n_trials=4,
    repeats=Folds(5, stratify_by="labels"),
    pruner="median",
)
for fold in best.trial.attrs["repeats"]:
    print(fold["name"], fold["objectives"])
print("mean:", best.objective)
trainer = refit(trainer, best)  # one model, trained on all of train_dataset
