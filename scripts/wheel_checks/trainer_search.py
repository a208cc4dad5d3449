"""What must work with `pip install "hpsearch[transformers]" hpsearch-optuna`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

import hpsearch
from hpsearch.transformers import hyperparameter_search

ABSENT = ("pytest", "ray", "sigopt", "wandb")


class Line(torch.nn.Module):
    """Fits y = w x + b."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss and the prediction, as a Trainer expects them."""
        prediction = self.layer(x)
        return {"loss": torch.nn.functional.mse_loss(prediction, labels), "logits": prediction}


def main() -> None:
    assert not [name for name in ABSENT if find_spec(name)]

    data: Any = [
        {"x": torch.tensor([i / 16]), "labels": torch.tensor([2 * i / 16])} for i in range(16)
    ]
    arguments = TrainingArguments(
        "runs", num_train_epochs=2, eval_strategy="epoch", report_to=[], use_cpu=True
    )
    trainer = Trainer(model_init=Line, args=arguments, train_dataset=data, eval_dataset=data)
    space = {"learning_rate": hpsearch.Float(1e-4, 1e-1, log=True)}
    for backend in ("optuna", "random"):
        best = hyperparameter_search(
            trainer, hp_space=lambda _: space, backend=backend, n_trials=2, direction="minimize"
        )
        assert best.objective >= 0.0
        assert set(best.hyperparameters) == {"learning_rate"}


if __name__ == "__main__":
    main()
