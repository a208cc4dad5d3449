"""Leave a script as it is: ``enable()`` makes hpsearch the Trainer's own search."""

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from hpsearch.transformers import enable


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 1)

    def forward(self, x, labels):
        predicted = self.linear(x).squeeze(-1)
        return {"loss": nn.functional.mse_loss(predicted, labels), "logits": predicted}


rows = [{"x": torch.eye(4)[index % 4], "labels": float(index % 4)} for index in range(64)]
trainer = Trainer(
    args=TrainingArguments("regression", num_train_epochs=2, report_to="none", save_strategy="no"),
    model_init=Regression,
    train_dataset=rows,
    eval_dataset=rows[:16],
)


def optuna_hp_space(trial):
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True),
        "per_device_train_batch_size": trial.suggest_categorical(
            "per_device_train_batch_size", [8, 16, 32]
        ),
    }


enable()
best_trial = trainer.hyperparameter_search(
    direction="minimize",
    backend="optuna",
    hp_space=optuna_hp_space,
    n_trials=3,
)
print(best_trial)
