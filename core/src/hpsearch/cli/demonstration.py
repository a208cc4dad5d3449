"""``hpsearch demo``: a small vision transformer learns handwritten digits, and hpsearch tunes it.

The data are real: 1,797 scanned digits of 8 x 8 pixels that scikit-learn ships (UCI, "Optical
Recognition of Handwritten Digits"). Everything here is public API, so the file is a good one to
copy and to put a model and data of your own into.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
import transformers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import Dataset
from transformers import (
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
)

import hpsearch
from hpsearch import BestRun, Float, Int, report
from hpsearch.pruners import MedianPruner
from hpsearch.transformers import hyperparameter_search, load_best_model

# The first four are fields of TrainingArguments. The last is none: model_init reads it.
SPACE = {
    "learning_rate": Float(1e-4, 1e-2, log=True),
    "per_device_train_batch_size": Int(16, 64, step=16),
    "warmup_steps": Int(0, 60, step=10),
    "weight_decay": Float(0.0, 0.3),
    "depth": Int(1, 4),
}


class Digits(Dataset[dict[str, torch.Tensor]]):
    """Images and what they show, in the form that a vision model of transformers takes."""

    def __init__(self, images: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> None:
        self.pixels = torch.tensor(images / 16, dtype=torch.float32).unsqueeze(1)
        self.labels = torch.tensor(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.pixels[index], "labels": self.labels[index]}


def digits() -> tuple[Digits, Digits, Digits]:
    """Return images to train on, to compare trials on, and to test the winner on once."""
    images, labels = load_digits().images, load_digits().target
    images, test_images, labels, test_labels = split(images, labels)
    images, validation_images, labels, validation_labels = split(images, labels)
    return (
        Digits(images, labels),
        Digits(validation_images, validation_labels),
        Digits(test_images, test_labels),
    )


def split(images: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> list[npt.NDArray[Any]]:
    """Split off a fifth in which each digit has its share; the same one every time."""
    parts: list[npt.NDArray[Any]] = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    return parts


def model_init(trial: hpsearch.Trial | None) -> ViTForImageClassification:
    """Return a model with new weights; the Trainer also asks for one before there is a trial."""
    return ViTForImageClassification(
        ViTConfig(
            image_size=8,
            patch_size=2,
            num_channels=1,
            id2label=dict(enumerate("0123456789")),
            hidden_size=64,
            intermediate_size=128,
            num_attention_heads=4,
            num_hidden_layers=1 if trial is None else trial["depth"],
        )
    )


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    """Return the share of images that are recognised."""
    right = np.argmax(prediction.predictions, axis=-1) == prediction.label_ids
    return {"accuracy": float(np.mean(right))}


def make_trainer(folder: str | Path, epochs: int = 8) -> Trainer:
    """Return a Trainer as one would write it without a search."""
    training, validation, _ = digits()
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_eval_batch_size=256,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(
        model_init=model_init,
        args=arguments,
        train_dataset=training,
        eval_dataset=validation,
        compute_metrics=accuracy,
    )
    trainer.remove_callback(PrinterCallback)  # it would print each evaluation over the bar
    return trainer


def main(*, trials: int, epochs: int, backend: str, seed: int, output: Path) -> None:
    """Search, show what was found, and test the best model on images it has never met."""
    torch.set_num_threads(1)  # the model is so small that several would only wait for each other
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    name = f"digits-{epochs}-epochs"
    journal = output / "study.db"
    output.mkdir(parents=True, exist_ok=True)
    training, validation, test = digits()
    click.secho("A vision transformer learns handwritten digits", bold=True)
    click.echo(f"  searched: {', '.join(SPACE)}")
    click.echo(f"  trials:   {trials} of up to {epochs} epochs, chosen by {backend}")
    click.echo(f"  images:   {len(training)} to train on, {len(validation)} to compare trials on")
    if journal.exists():
        click.echo(f"  going on: {journal}; choose another --output to start again")

    trainer = make_trainer(output / name, epochs)
    best = hyperparameter_search(
        trainer,
        hp_space=SPACE,
        compute_objective=lambda metrics: metrics["eval_accuracy"],
        direction="maximize",
        n_trials=trials,
        backend=backend,
        seed=seed,
        # Each epoch is one report; in smaller batches it has more of the Trainer's steps.
        pruner=MedianPruner(n_startup_trials=3, n_warmup_steps=3, by_report=True),
        keep_checkpoints=1,
        storage=journal,
        name=name,
        resume=True,
        progress=True,
    )
    assert isinstance(best, BestRun)  # several directions would give a list of them

    load_best_model(trainer, best)
    tested = trainer.evaluate(test, metric_key_prefix="test")["test_accuracy"]

    study = hpsearch.load(journal, name)
    page = report.write(study, output / "report.html")
    click.echo(f"\n{study.table()}\n")
    click.secho(
        f"Best: trial {best.run_id}, {best.objective:.3f} of the validation images", bold=True
    )
    for parameter, value in best.hyperparameters.items():
        click.echo(f"  {parameter} = {value:.4g}")
    click.secho(
        f"Its model recognises {tested:.3f} of {len(test)} test images, kept aside until now",
        fg="green",
        bold=True,
    )
    click.echo(f"\nreport:  {page}")
    click.echo(f"journal: {journal.absolute()}")
    click.echo(f"model:   {best.checkpoint}")
    click.echo(f"code:    {__file__}")
