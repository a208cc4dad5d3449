"""Search a Hugging Face Trainer: a small classifier of scikit-learn's handwritten digits."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from hpsearch.transformers import apply_hyperparameters, hyperparameter_search, load_best_model

images = torch.tensor(load_digits().images / 16, dtype=torch.float32).unsqueeze(1)
labels = torch.tensor(load_digits().target)
data = TensorDataset(images[:600], labels[:600])
train, test = torch.utils.data.random_split(data, [480, 120], torch.Generator().manual_seed(0))


def collate(rows):
    pixels, targets = zip(*rows, strict=True)
    return {"pixel_values": torch.stack(pixels), "labels": torch.stack(targets)}


def model_init(trial):
    depth = trial["depth"] if trial is not None else 2
    config = ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, hidden_size=32)
    config.update({"num_hidden_layers": depth, "num_attention_heads": 2, "intermediate_size": 64})
    return ViTForImageClassification(config)


def accuracy(prediction):
    return {"accuracy": float(np.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


def space(trial):
    return {
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "depth": trial.suggest_int("depth", 1, 3),  # no training argument: model_init reads it
    }


trainer = Trainer(
    args=TrainingArguments("digits", num_train_epochs=2, eval_strategy="epoch", report_to="none"),
    model_init=model_init,
    train_dataset=train,
    eval_dataset=test,
    data_collator=collate,
    compute_metrics=accuracy,
)
best = hyperparameter_search(
    trainer,
    hp_space=space,
    compute_objective="eval_accuracy",
    direction="maximize",
    backend="optuna",
    n_trials=4,
    keep_checkpoints=1,
)
print(best.run_id, best.objective, best.hyperparameters)
model = load_best_model(trainer, best)

# Or train once more, with the best hyperparameters.
apply_hyperparameters(trainer, best)
trainer.train()
