"""Search a Trainer whose trials each train on several processes: torchrun ddp_search.py."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from transformers import Trainer, TrainingArguments

from hpsearch import Categorical, Float, Int
from hpsearch.transformers import hyperparameter_search

images = torch.tensor(load_digits().data / 16, dtype=torch.float32)
digits = [{"x": x, "labels": y} for x, y in zip(images, load_digits().target, strict=True)]


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, x, labels):
        logits = self.layers(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def model_init(trial):
    return Net(32 if trial is None else trial["width"])


args = TrainingArguments(
    "digits",
    num_train_epochs=3,
    eval_strategy="epoch",
    save_strategy="no",
    report_to="none",
    disable_tqdm=True,
    ddp_find_unused_parameters=False,
    use_cpu=not torch.cuda.is_available(),  # without GPUs, the processes meet on the CPU
)
trainer = Trainer(
    args=args, model_init=model_init, train_dataset=digits[:600], eval_dataset=digits[600:800]
)
best = hyperparameter_search(
    trainer,
    hp_space={
        "learning_rate": Float(1e-4, 1e-1, log=True),
        "per_device_train_batch_size": Categorical([8, 16]),
        "width": Int(16, 64),
    },
    backend="optuna",
    n_trials=6,
    seed=1,
    pruner="median",
)
print(f"rank {args.process_index} of {args.world_size}: run {best.run_id}, {best.objective}")
