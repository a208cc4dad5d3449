"""What must work with `pip install "hpsearch[transformers]" hpsearch-optuna`."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)

import hpsearch
from hpsearch.transformers import hyperparameter_search

ABSENT = ("pytest", "ray", "sigopt", "wandb")


def model_init() -> PreTrainedModel:
    """Return a tiny text classifier with new weights."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=32,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
        )
    )


class FirstToken(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Sequences that are of the second class if their first token is odd."""

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.full((4,), index), "labels": torch.tensor(index % 2)}


def main() -> None:
    assert not [name for name in ABSENT if find_spec(name)]

    arguments = TrainingArguments(
        "runs",
        num_train_epochs=2,
        eval_strategy="epoch",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    data = FirstToken()
    trainer = Trainer(model_init=model_init, args=arguments, train_dataset=data, eval_dataset=data)
    space = {"learning_rate": hpsearch.Float(1e-4, 1e-1, log=True)}
    for backend in ("optuna", "random"):
        best = hyperparameter_search(
            trainer, hp_space=lambda _: space, backend=backend, n_trials=2, direction="minimize"
        )
        assert isinstance(best, hpsearch.BestRun)
        assert isinstance(best.objective, float)
        assert set(best.hyperparameters) == {"learning_rate"}


if __name__ == "__main__":
    main()
